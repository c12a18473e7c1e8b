/// A token that is found in the text as it stands, before words are cut and bytes are merged.
struct AddedToken: Equatable, Sendable {
    var id: Int32
    var content: String
    /// Only where no word character adjoins.
    var singleWord: Bool
    /// Takes the white space before it.
    var stripsLeft: Bool
    /// Takes the white space after it.
    var stripsRight: Bool
    /// Is sought in the normalised text, not in the original.
    var normalized: Bool
    var special: Bool
}
