/// One unit of a kernel's work (a row, a token, a block of columns), as its body sees it: the kernel's
/// parameters, this program's index, and control flow. While the body runs, it records.
public final class Program {
    package var function: TileFunction
    package var diagnostics: [TileDiagnostic] = []
    /// The regions being recorded, innermost last.
    var open: [Region] = [Region()]
    /// Where each value was made.
    var origins: [SourceLocation] = []
    var constants: [Constant: ValueID] = [:]
    let start: SourceLocation

    init(name: String) {
        function = TileFunction(name: name)
        start = SourceLocation("kernel start", 0)
    }

    /// This program's number, from 0.
    public var index: Tile<Int> { Tile(self, emit(.programIndex, [], .scalar(.index), at: start)) }
}

// MARK: - Parameters

extension Program {
    /// Declares an array the kernel reads. A launch gives it by this name, views in the order of declaration.
    public func input<E: TileElement>(
        _ name: String, _ dtype: DType, rank: Int, as element: E.Type = Float.self,
        file: StaticString = #fileID, line: UInt = #line
    ) -> View<E> {
        declare(name, dtype, rank, .input, SourceLocation(file, line))
    }

    /// Declares an array the kernel writes and never reads. It may not overlap any other.
    public func output<E: TileElement>(
        _ name: String, _ dtype: DType, rank: Int, as element: E.Type = Float.self,
        file: StaticString = #fileID, line: UInt = #line
    ) -> View<E> {
        declare(name, dtype, rank, .output, SourceLocation(file, line))
    }

    /// Declares an array the kernel reads and overwrites: the caller gives its contents up.
    public func update<E: TileElement>(
        _ name: String, _ dtype: DType, rank: Int, as element: E.Type = Float.self,
        file: StaticString = #fileID, line: UInt = #line
    ) -> View<E> {
        declare(name, dtype, rank, .update, SourceLocation(file, line))
    }

    /// Declares a number bound at launch. A launch gives it by this name, scalars in the order of declaration.
    public func scalar<E: TileNumber>(
        _ name: String, as element: E.Type = Float.self,
        file: StaticString = #fileID, line: UInt = #line
    ) -> Tile<E> {
        let location = SourceLocation(file, line)
        checkName(name, of: "scalar", function.scalars.map(\.name), location)
        function.scalars.append(ScalarParameter(name: name, element: E.kind, location: location))
        return Tile(self, emit(.argument(function.scalars.count - 1), [], .scalar(E.kind), at: location))
    }

    private func declare<E: TileElement>(
        _ name: String, _ dtype: DType, _ rank: Int, _ access: ViewParameter.Access,
        _ location: SourceLocation
    ) -> View<E> {
        let matches =
            switch E.kind {
            case .f32: dtype.widensToFloat
            case .u32: dtype == .u32
            case .i32, .index: [.i32, .i64, .u8].contains(dtype)
            case .mask: dtype == .u8
            }
        if !matches {
            report(
                location, "view \(name) holds \(dtype.rawValue), which cannot be read as \(E.self)",
                "Declare it with `as:` a matching element")
        }
        if !(1...4).contains(rank) {
            report(location, "view \(name) has rank \(rank); expected 1 to 4", "Flatten it before the launch")
        }
        checkName(name, of: "view", function.views.map(\.name), location)
        function.views.append(
            ViewParameter(name: name, dtype: dtype, rank: rank, access: access, location: location))
        return View(program: self, number: function.views.count - 1)
    }

    private func checkName(
        _ name: String, of what: String, _ others: [String], _ location: SourceLocation
    ) {
        if others.contains(name) {
            report(
                location, "\(what) \(name) is declared twice",
                "Give each a name of its own: a launch tells them apart by it")
        }
    }
}

// MARK: - Recording

extension Program {
    /// Appends an operation with one result.
    func emit(
        _ kind: OperationKind, _ operands: [ValueID], _ type: ValueType, at location: SourceLocation
    ) -> ValueID {
        emit(kind, operands, [type], at: location)[0]
    }

    /// Appends an operation.
    @discardableResult
    func emit(
        _ kind: OperationKind, _ operands: [ValueID], _ types: [ValueType], regions: [Region] = [],
        at location: SourceLocation
    ) -> [ValueID] {
        let results = types.map { makeValue($0, at: location) }
        open[open.count - 1].operations.append(
            Operation(kind: kind, operands: operands, results: results, regions: regions, location: location))
        return results
    }

    func makeValue(_ type: ValueType, at location: SourceLocation) -> ValueID {
        origins.append(location)
        return function.makeValue(type)
    }

    /// A scalar of a compile-time value, made once at the start of the kernel.
    package func constant(_ value: Constant) -> ValueID {
        if let known = constants[value] { return known }
        let id = makeValue(.scalar(value.element), at: start)
        open[0].operations.insert(
            Operation(kind: .constant(value), results: [id], location: start), at: constants.count)
        constants[value] = id
        return id
    }

    /// The later of the places where the operands were made: what an operator can know of its own.
    func location(of operands: ValueID...) -> SourceLocation {
        operands.map { origins[$0.number] }.max { $0.line < $1.line } ?? start
    }

    func report(_ location: SourceLocation, _ message: String, _ advice: String) {
        diagnostics.append(TileDiagnostic(location: location, message: message, advice: advice))
    }

    /// "4096 lanes, from File.swift:12", for messages.
    func describe(_ value: ValueID) -> String {
        let extent = function.type(value).extent.map { function.extents[$0.number] }
        let lanes =
            switch extent {
            case nil: "a scalar"
            case .some(let extent) where extent.count == nil: "\(extent.capacity) lanes"
            case .some(let extent): "up to \(extent.capacity) lanes"
            }
        return "\(lanes), from \(origins[value.number])"
    }

    /// The extent that operands share; a report and the first one's if they differ.
    func commonExtent(_ what: String, _ operands: [ValueID], at location: SourceLocation) -> ExtentID? {
        let tiles = operands.filter { function.type($0).isTile }
        guard let first = tiles.first else { return nil }
        for other in tiles.dropFirst() where function.type(other).extent != function.type(first).extent {
            report(
                location,
                "\(what) needs operands of one length; found \(describe(first)) and \(describe(other))",
                "Index both with ranges of the same length")
        }
        return function.type(first).extent
    }
}

// MARK: - Tracing

extension TileFunction {
    /// Records a kernel's body, checks it and simplifies it.
    ///
    /// - Throws: `TileError` with every mistake found.
    /// - Cost: some microseconds per operation; done once per specialisation.
    package static func trace(_ kernel: some TileKernel) throws -> TileFunction {
        var function = try record(kernel)
        try function.optimise()
        return function
    }

    /// The kernel as its author wrote it, verified but with no pass run.
    package static func record(_ kernel: some TileKernel) throws -> TileFunction {
        let program = Program(name: kernel.name)
        kernel.body(program)
        if !program.diagnostics.isEmpty {
            throw TileError(kernel: kernel.name, diagnostics: program.diagnostics)
        }
        program.function.body = program.open[0]
        try program.function.verify(after: "tracing")
        return program.function
    }
}
