public import Tile

extension TileKernel {
    /// Runs programs 0 ..< programs of the kernel on the device of its arrays.
    ///
    /// - Parameters:
    ///   - arrays: for each declared view, by its name and in that order. Written arrays may not overlap any other.
    ///   - scalars: for each declared scalar, by its name and in that order.
    /// - Throws: `TileError` if the kernel does not compile; `RuntimeError` if arguments do not fit its
    ///   declaration; `LaunchError` if a program fails a check or leaves an array.
    /// - Cost: compiled once per kernel value; then a dictionary look-up in addition to the work.
    public func launch(programs: Int, _ arrays: LaunchArrays, scalars: LaunchScalars = [:]) throws {
        if programs == 0 { return }
        guard let observer = LaunchObservation.current else {
            return try run(programs, arrays, scalars)
        }
        try observer.observe(
            self, programs: programs, arrays: arrays.arrays, scalars: scalars.values.map(\.constant)
        ) { try run(programs, arrays, scalars) }
    }

    private func run(_ programs: Int, _ arrays: LaunchArrays, _ scalars: LaunchScalars) throws {
        guard let device = try Device.common(arrays.arrays, "kernel \(name)") else {
            throw RuntimeError("kernel \(name) was launched on no array. Give it one for each of its views")
        }
        // The work takes addresses; it is the arrays that keep the memory.
        defer { withExtendedLifetime(arrays) {} }
        let views = arrays.arrays.map(\.view)
        let kernel = try device.backend.kernel(self, for: views)
        try kernel.signature.check(arrays, scalars)
        try kernel.launch(programs: programs, views, scalars.values)
    }
}

extension KernelSignature {
    /// Every misfit of the arguments, at once.
    fileprivate func check(_ arrays: LaunchArrays, _ bound: LaunchScalars) throws {
        var problems: [String] = []
        if arrays.names.elementsEqual(views, by: { $0 == $1.name }) {
            problems = misfits(of: arrays.arrays)
        } else {
            problems.append(Self.misnamed("arrays", views.map(\.name), arrays.names))
        }
        if !bound.names.elementsEqual(scalars, by: { $0 == $1.name })
            || !bound.values.elementsEqual(scalars, by: { $0.constant.element == $1.element })
        {
            let found = zip(bound.names, bound.values).map { "\($0): \($1.constant.element.rawValue)" }
            problems.append(
                Self.misnamed("scalars", scalars.map { "\($0.name): \($0.element.rawValue)" }, found))
        }
        if !problems.isEmpty {
            throw RuntimeError("kernel \(name): " + problems.joined(separator: "; ") + ". Check the call")
        }
    }

    /// What is wrong with arrays that have the names of the views.
    private func misfits(of arrays: [NDArray]) -> [String] {
        var problems: [String] = []
        for (view, array) in zip(views, arrays) {
            if view.dtype != array.dtype || view.rank != array.shape.count {
                problems.append(
                    "\(view.name) must be \(view.dtype.rawValue) of rank \(view.rank), found "
                        + "\(array.dtype.rawValue) of shape \(array.shape)")
            }
        }
        for (i, view) in views.enumerated() where view.access != .input {
            for (j, other) in arrays.enumerated() where j != i && arrays[i].mayOverlap(other) {
                problems.append("\(view.name) is written and overlaps \(views[j].name)")
            }
        }
        return problems
    }

    private static func misnamed(_ what: String, _ expected: [String], _ found: [String]) -> String {
        "expected \(what) (\(expected.joined(separator: ", "))), found (\(found.joined(separator: ", "))): "
            + "name them as the kernel does, in its order"
    }
}
