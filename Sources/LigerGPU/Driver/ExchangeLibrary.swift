/// A library with NCCL's interface, which moves bytes between GPUs of one maker.
package struct ExchangeLibrary: Sendable {
    /// `NCCL` or `RCCL`.
    package let name: String
    package let search: LibrarySearch
    /// What to do where it is missing.
    package let advice: String

    package init(name: String, search: LibrarySearch, advice: String) {
        (self.name, self.search, self.advice) = (name, search, advice)
    }
}
