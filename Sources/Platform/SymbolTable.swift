/// A function that a library does not export.
package struct MissingSymbol: Error, Equatable {
    package let name: String
}

/// Symbols of a loaded library as C functions.
package struct SymbolTable {
    private let resolve: (String) -> UnsafeMutableRawPointer?

    /// - Parameter resolve: the address of an exported symbol.
    package init(resolve: @escaping (String) -> UnsafeMutableRawPointer?) { self.resolve = resolve }

    /// The function of that name. The caller names its C type, which the header states with the symbol.
    package func find<Function>(_ name: String) throws(MissingSymbol) -> Function {
        guard let address = resolve(name) else { throw MissingSymbol(name: name) }
        return unsafeBitCast(address, to: Function.self)
    }
}
