/// An array of a kernel's launch, indexed by position: `x[row, columns]` with `columns` an axis is a tile,
/// `lse[row]` a scalar. Reading widens storage to `Element`, assigning narrows with one rounding.
///
/// Every position is checked against the array's size on the CPU and under the emulator. Stores of one
/// program to one view must not overlap, unless their positions are the same.
public struct View<Element: TileElement> {
    let program: Program
    let number: Int

    /// The array's size along a dimension, known at launch.
    public func size(_ dimension: Int, file: StaticString = #fileID, line: UInt = #line) -> Tile<Int> {
        let location = SourceLocation(file, line)
        if dimension < 0 || dimension >= parameter.rank {
            program.report(
                location, "view \(parameter.name) has rank \(parameter.rank), no dimension \(dimension)",
                "Count dimensions from 0")
        }
        return Tile(
            program,
            program.emit(.size(view: number, dimension: dimension), [], .scalar(.index), at: location))
    }

    /// The elements at a position; along at most one dimension many: an axis, or a tile of positions to
    /// gather (reading only).
    public subscript(
        _ indices: any ViewIndex..., file file: StaticString = #fileID, line line: UInt = #line
    ) -> Tile<Element> {
        get { load(resolve(indices, SourceLocation(file, line)), SourceLocation(file, line)) }
        nonmutating set {
            store(newValue, resolve(indices, SourceLocation(file, line)), SourceLocation(file, line))
        }
    }

    var parameter: ViewParameter { program.function.views[number] }
}

/// What can stand between a view's brackets: `Int`, scalar tiles of `Int` or `Int32`, an `Axis`, or a tile
/// of `Int32` positions.
public protocol ViewIndex {
    /// The position as the compiler takes it.
    func position(in program: Program) -> ViewPosition
}

/// One resolved index of a view.
public struct ViewPosition {
    enum Form { case scalar, axis(ExtentID), gather(ExtentID) }
    let form: Form
    let value: ValueID
}

extension Int: ViewIndex {
    public func position(in program: Program) -> ViewPosition {
        ViewPosition(form: .scalar, value: program.constant(.index(self)))
    }
}

extension Axis: ViewIndex {
    public func position(in program: Program) -> ViewPosition {
        ViewPosition(form: .axis(extent), value: start.id)
    }
}

extension Tile: ViewIndex where Element: TileNumber {
    public func position(in program: Program) -> ViewPosition {
        if let extent = program.function.type(id).extent {
            return ViewPosition(form: .gather(extent), value: id)
        }
        return ViewPosition(form: .scalar, value: converted(to: Int.self).id)
    }
}

extension View {
    private struct Resolved {
        var operands: [ValueID]
        var axis: Int?
        var extent: ExtentID?
        var gathers = false
    }

    private func resolve(_ indices: [any ViewIndex], _ location: SourceLocation) -> Resolved {
        let positions = indices.map { $0.position(in: program) }
        if positions.count != parameter.rank {
            program.report(
                location,
                "view \(parameter.name) has rank \(parameter.rank), found \(positions.count) indices",
                "Give one index per dimension")
        }
        var resolved = Resolved(operands: positions.map(\.value))
        for (dimension, position) in positions.enumerated() {
            switch position.form {
            case .scalar: continue
            case .axis(let extent):
                (resolved.axis, resolved.extent) = (dimension, extent)
            case .gather(let extent):
                (resolved.axis, resolved.extent, resolved.gathers) = (dimension, extent, true)
            }
        }
        let many = positions.count { if case .scalar = $0.form { false } else { true } }
        if many > 1 {
            program.report(
                location, "\(many) indices of view \(parameter.name) span many positions; expected at most 1",
                "Loop over one of them")
        }
        return resolved
    }

    private func load(_ at: Resolved, _ location: SourceLocation) -> Tile<Element> {
        if parameter.access == .output {
            program.report(
                location, "view \(parameter.name) is an output and cannot be read",
                "Declare it with `update` if the kernel reads what it overwrites")
        }
        let kind: OperationKind =
            if at.gathers, let axis = at.axis { .gather(view: number, axis: axis) } else {
                .load(view: number, axis: at.axis)
            }
        let type = ValueType(element: Element.kind, extent: at.extent)
        return Tile(program, program.emit(kind, at.operands, type, at: location))
    }

    private func store(_ value: Tile<Element>, _ at: Resolved, _ location: SourceLocation) {
        if parameter.access == .input {
            program.report(
                location, "view \(parameter.name) is an input and cannot be written",
                "Declare it with `output`, or `update` if the kernel also reads it")
        }
        if at.gathers {
            program.report(
                location, "a store to view \(parameter.name) at gathered positions, which may collide",
                "Let one program own each destination and gather its sources instead")
        }
        let found = program.function.type(value.id).extent
        if found != nil && found != at.extent {
            program.report(
                location,
                "a store to view \(parameter.name) of another length than its index: \(program.describe(value.id))",
                "Index the view with the range that the value was computed over")
        }
        var id = value.id
        if found == nil, let extent = at.extent {
            id = program.emit(.splat, [id], ValueType(element: Element.kind, extent: extent), at: location)
        }
        program.emit(.store(view: number, axis: at.axis), at.operands + [id], [], at: location)
    }
}
