#if !canImport(Darwin)
    // The machinery behind String's ==. FoundationEssentials has no normalisation, and Foundation would bring ICU's
    // 40 MB for it. A change of this interface fails at compile time; a test compares all of Unicode with Python's.
    @_spi(_Unicode) import Swift
#endif

extension String {
    /// Appends the UTF-8 of the canonical composition, Unicode's form C.
    package func appendCanonicalForm(to output: inout [UInt8]) {
        #if canImport(Darwin)
            output.append(contentsOf: precomposedStringWithCanonicalMapping.utf8)
        #else
            for scalar in _nfc { output.append(contentsOf: UTF8.encode(scalar) ?? .init()) }
        #endif
    }

    /// Appends the UTF-8 of the canonical decomposition, Unicode's form D.
    package func appendDecomposedForm(to output: inout [UInt8]) {
        #if canImport(Darwin)
            output.append(contentsOf: decomposedStringWithCanonicalMapping.utf8)
        #else
            for scalar in _nfd { output.append(contentsOf: UTF8.encode(scalar) ?? .init()) }
        #endif
    }
}
