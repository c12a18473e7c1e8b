import LigerRuntime

/// An operation that C can call by name.
struct Operation: Sendable {
    let name: StaticString
    /// Names of what it returns, in order.
    let outputs: [StaticString]
    /// Runs it over arguments, on a recording device.
    let body: @Sendable (Arguments) throws -> [NDArray?]

    init(
        _ name: StaticString, returns outputs: StaticString...,
        body: @escaping @Sendable (Arguments) throws -> [NDArray?]
    ) {
        self.name = name
        self.outputs = outputs
        self.body = body
    }

    /// All of them.
    static let all: [Operation] =
        normalisations + activations + rotations + lookups + losses + sequenceLosses + ownFormulas

    static let byName: [String: Operation] = Dictionary(
        uniqueKeysWithValues: all.map { ("\($0.name)", $0) })
}
