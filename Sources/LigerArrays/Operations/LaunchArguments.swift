import Tile

/// Arrays for a kernel's views: by the names that the kernel gives these, in the order in which it declares them.
///
///     try kernel.launch(programs: rows, ["x": x, "w": weight, "y": y], scalars: ["eps": .float(eps)])
///
/// What is nil is left out, as a kernel leaves out the views of an option that is off. A launch compares the names, so
/// that two arrays of one type and rank cannot be swapped unseen; a recorded call did so when it was recorded.
public struct LaunchArrays: ExpressibleByDictionaryLiteral {
    private let elements: [(String, NDArray?)]

    public init(dictionaryLiteral elements: (String, NDArray?)...) { self.elements = elements }

    public init(_ elements: [(String, NDArray?)]) { self.elements = elements }

    /// Those that are there.
    var all: some Collection<(name: String, array: NDArray)> {
        elements.lazy.compactMap { name, array in array.map { (name: name, array: $0) } }
    }

    /// Their memory.
    var views: [MemoryView] {
        var views: [MemoryView] = []
        views.reserveCapacity(elements.count)
        for (_, array) in elements {
            if let array { views.append(array.view) }
        }
        return views
    }
}

/// Numbers for a kernel's scalar parameters: by their names, in the order of their declarations. What is nil is left
/// out.
public struct LaunchScalars: ExpressibleByDictionaryLiteral, Sendable {
    private let elements: [(String, LaunchScalar?)]

    public init(dictionaryLiteral elements: (String, LaunchScalar?)...) { self.elements = elements }

    /// Those that are there.
    var all: some Collection<(name: String, value: LaunchScalar)> {
        elements.lazy.compactMap { name, value in value.map { (name: name, value: $0) } }
    }

    var values: [LaunchScalar] { elements.isEmpty ? [] : all.map(\.value) }
}
