import LigerRuntime

/// The names of the views that a kernel has for arrays of a list, "x 0" and on. A launch takes them from here, so that
/// it writes no text each time.
struct NumberedViews: Sendable {
    private let name: String
    /// Of as many as any launch has so far.
    private let names: [String]

    init(_ name: String) {
        self.name = name
        names = (0..<16).map { "\(name) \($0)" }
    }

    subscript(number: Int) -> String { number < names.count ? names[number] : "\(name) \(number)" }

    /// A list's arrays under these names.
    func named(_ arrays: [NDArray]) -> [(String, NDArray?)] {
        arrays.enumerated().map { (self[$0], $1) }
    }
}
