import LigerRuntime

/// An operation that C can call by name.
package struct Operation: Sendable {
    /// Gives the outputs in the signature's order, nil for those that are not there.
    typealias Body = @Sendable (Arguments) throws -> [NDArray?]

    let signature: Signature
    /// Runs it over arguments, on a recording device.
    let body: Body

    /// - Parameter declare: declares what goes in and comes out, and gives the body that reads it.
    init(_ name: StaticString, _ declare: (inout Signature) -> Body) {
        var signature = Signature(name: name)
        body = declare(&signature)
        self.signature = signature
    }
}

/// What the library does, one line each: a type of `LigerKernels` or `LigerLosses`, and what C can call of it.
package struct OperationFamily: Sendable {
    package let type: any Any.Type
    package let operations: [Operation]

    init(_ type: any Any.Type, _ operations: Operation...) { self.init(type, operations) }

    init(_ type: any Any.Type, _ operations: [Operation]) {
        self.type = type
        self.operations = operations
    }

    /// The index of everything there is, in the order of a model's forward pass and of a step after it: C, Python and
    /// the command line's catalogue know an operation by it.
    package static let all: [OperationFamily] =
        lookups + normalisations + rotations + activations + streams + losses + sequenceLosses + ownFormulas
        + divergences
        + float8 + steps
}

extension Operation {
    /// All that C can call.
    static let all: [Operation] = OperationFamily.all.flatMap(\.operations)

    static let byName: [String: Operation] = Dictionary(
        uniqueKeysWithValues: all.map { ("\($0.signature.name)", $0) })
}
