public import Tile

extension TileKernel {
    /// Runs programs 0 ..< programs of the kernel on the device of its arrays.
    ///
    /// - Parameters:
    ///   - arrays: one per declared view, in that order. Written arrays may not overlap any other.
    ///   - scalars: one per declared scalar, in that order.
    /// - Throws: `TileError` if the kernel does not compile; `RuntimeError` if arguments do not fit its
    ///   declaration; `LaunchError` if a program fails a check or leaves an array.
    /// - Cost: compiled once per kernel value; then a dictionary look-up in addition to the work.
    public func launch(
        programs: Int, _ arrays: [NDArray], scalars: [LaunchScalar] = []
    ) throws {
        if programs == 0 { return }
        guard let observer = LaunchObservation.current else {
            return try run(programs, arrays, scalars)
        }
        try observer.observe(
            self, programs: programs, arrays: arrays, scalars: scalars.map(\.constant)
        ) { try run(programs, arrays, scalars) }
    }

    private func run(_ programs: Int, _ arrays: [NDArray], _ scalars: [LaunchScalar]) throws {
        guard let device = try Device.common(arrays, "kernel \(name)") else {
            throw RuntimeError("kernel \(name) was launched on no array. Give it one for each of its views")
        }
        // The work takes addresses; it is the arrays that keep the memory.
        defer { withExtendedLifetime(arrays) {} }
        let views = arrays.map(\.view)
        let kernel = try device.backend.kernel(self, for: views)
        try kernel.signature.check(arrays, scalars)
        try kernel.launch(programs: programs, views, scalars)
    }
}

extension KernelSignature {
    /// Every misfit of the arguments, at once.
    fileprivate func check(_ arrays: [NDArray], _ bound: [LaunchScalar]) throws {
        var problems: [String] = []
        if arrays.count != views.count {
            problems.append("expected \(views.count) arrays, found \(arrays.count)")
        }
        if !bound.elementsEqual(scalars, by: { $0.constant.element == $1.element }) {
            let expected = scalars.map { "\($0.name): \($0.element.rawValue)" }
            problems.append("expected scalars (\(expected.joined(separator: ", ")))")
        }
        for (view, array) in zip(views, arrays) {
            if view.dtype != array.dtype || view.rank != array.shape.count {
                problems.append(
                    "\(view.name) must be \(view.dtype.rawValue) of rank \(view.rank), found "
                        + "\(array.dtype.rawValue) of shape \(array.shape)")
            }
        }
        for (i, view) in views.enumerated() where view.access != .input && i < arrays.count {
            for (j, other) in arrays.enumerated() where j != i && arrays[i].mayOverlap(other) {
                problems.append("\(view.name) is written and overlaps \(views[j].name)")
            }
        }
        if !problems.isEmpty {
            throw RuntimeError("kernel \(name): " + problems.joined(separator: "; ") + ". Check the call")
        }
    }
}
