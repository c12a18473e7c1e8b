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
            self, programs: programs, arrays: arrays.all.map(\.array),
            scalars: scalars.all.map(\.value.constant)
        ) { try run(programs, arrays, scalars) }
    }

    private func run(_ programs: Int, _ arrays: LaunchArrays, _ scalars: LaunchScalars) throws {
        guard let device = try Device.common(arrays.all.lazy.map(\.array), "kernel \(name)") else {
            throw RuntimeError("kernel \(name) was launched on no array. Give it one for each of its views")
        }
        // The work takes addresses; it is the arrays that keep the memory.
        defer { withExtendedLifetime(arrays) {} }
        let views = arrays.views
        let kernel = try device.backend.kernel(self, for: views)
        try kernel.signature.check(arrays, scalars)
        try kernel.launch(programs: programs, views, scalars.values)
    }
}

extension KernelSignature {
    /// Every misfit of the arguments, at once.
    fileprivate func check(_ arrays: LaunchArrays, _ bound: LaunchScalars) throws {
        var problems =
            arrays.all.elementsEqual(views) { $0.name == $1.name }
            ? misfits(of: arrays) : [Self.misnamed("arrays", views.map(\.name), arrays.all.map(\.name))]
        if !bound.all.elementsEqual(
            scalars, by: { $0.name == $1.name && $0.value.constant.element == $1.element })
        {
            problems.append(
                Self.misnamed(
                    "scalars", scalars.map { "\($0.name): \($0.element.rawValue)" },
                    bound.all.map { "\($0.name): \($0.value.constant.element.rawValue)" }))
        }
        if !problems.isEmpty {
            throw RuntimeError("kernel \(name): " + problems.joined(separator: "; ") + ". Check the call")
        }
    }

    /// What is wrong with arrays that have the names of the views.
    private func misfits(of arrays: LaunchArrays) -> [String] {
        var problems: [String] = []
        for (view, (_, array)) in zip(views, arrays.all)
        where view.dtype != array.dtype || view.rank != array.shape.count {
            problems.append(
                "\(view.name) must be \(view.dtype.rawValue) of rank \(view.rank), found "
                    + "\(array.dtype.rawValue) of shape \(array.shape)")
        }
        for (i, (view, written)) in zip(views, arrays.all).enumerated() where view.access != .input {
            for (j, other) in arrays.all.enumerated() where j != i && written.array.mayOverlap(other.array) {
                problems.append("\(view.name) is written and overlaps \(other.name)")
            }
        }
        return problems
    }

    private static func misnamed(_ what: String, _ expected: [String], _ found: [String]) -> String {
        "expected \(what) (\(expected.joined(separator: ", "))), found (\(found.joined(separator: ", "))): "
            + "name them as the kernel does, in its order"
    }
}
