/// Byte strings one after the other in one buffer.
///
/// Tokens are kept as bytes and never as `String`: to Swift the composed and the decomposed é are equal, and a
/// vocabulary may have both.
struct ByteStrings: Sendable {
    private var storage: [UInt8] = []
    private var ends: [Int] = []

    /// How many strings there are.
    var count: Int { ends.count }

    /// Cost: the string's length.
    mutating func append(_ bytes: some Sequence<UInt8>) {
        storage.append(contentsOf: bytes)
        ends.append(storage.count)
    }

    /// String number `index`. Cost: constant.
    subscript(index: Int) -> ArraySlice<UInt8> {
        storage[(index == 0 ? 0 : ends[index - 1])..<ends[index]]
    }

    /// String number `index` as text, for messages.
    func text(_ index: Int) -> String { String(decoding: self[index], as: UTF8.self) }
}
