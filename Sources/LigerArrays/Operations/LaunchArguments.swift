/// Arrays for a kernel's views: by the names that the kernel gives these, in the order in which it declares them.
///
///     try kernel.launch(programs: rows, ["x": x, "w": weight, "y": y], scalars: ["eps": .float(eps)])
///
/// What is nil is left out, as a kernel leaves out the views of an option that is off. A launch compares the names, so
/// that two arrays of one type and rank cannot be swapped unseen; a recorded call did so when it was recorded.
public struct LaunchArrays: ExpressibleByDictionaryLiteral {
    private(set) var names: [String] = []
    private(set) var arrays: [NDArray] = []

    public init(dictionaryLiteral elements: (String, NDArray?)...) { self.init(elements) }

    /// Arrays by name, for a kernel whose views are made in a loop.
    public init(_ elements: [(String, NDArray?)]) {
        names.reserveCapacity(elements.count)
        arrays.reserveCapacity(elements.count)
        for (name, array) in elements {
            guard let array else { continue }
            names.append(name)
            arrays.append(array)
        }
    }
}

/// Numbers for a kernel's scalar parameters: by their names, in the order of their declarations. What is nil is left
/// out.
public struct LaunchScalars: ExpressibleByDictionaryLiteral, Sendable {
    private(set) var names: [String] = []
    private(set) var values: [LaunchScalar] = []

    public init(dictionaryLiteral elements: (String, LaunchScalar?)...) { self.init(elements) }

    /// Numbers by name, for a kernel whose scalars are made in a loop.
    public init(_ elements: [(String, LaunchScalar?)]) {
        names.reserveCapacity(elements.count)
        values.reserveCapacity(elements.count)
        for (name, value) in elements {
            guard let value else { continue }
            names.append(name)
            values.append(value)
        }
    }
}
