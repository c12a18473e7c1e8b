internal import Platform

/// Tokens in the cache: a folder that is complete or not there.
///
///     tokens         ids, 1, 2 or 4 bytes each by the size of the vocabulary
///     fields         of examples: what is known of each in addition to tokens, 4 bytes a number
///     places         of examples: where tokens and fields of each begin, 8 bytes a number
///     cache.json     what they follow from
///     manifest.json  sizes and checksums of all
struct CacheEntry: Sendable {
    /// `cache.json`
    struct Header: Codable, Equatable, Sendable {
        let key: CacheKey
        let tokenCount: Int
        let tokenWidth: Int
        /// Examples; 0 for a text.
        let recordCount: Int
        /// `Fingerprint` of all tokens; nil for examples.
        let fingerprint: String?
    }

    static let tokensName = "tokens", fieldsName = "fields", placesName = "places", headerName = "cache.json"

    let header: Header
    let tokens: MappedNumbers
    private let fields: MappedNumbers?
    private let places: MappedNumbers?

    /// Opens an entry after comparing all of it with its checksums. Cost: the files read once.
    ///
    /// - Throws: `Damage`.
    init(_ folder: String, key: CacheKey) throws {
        if let fault = CheckpointManifest.fault(in: folder, .contents) { throw Damage(reason: fault) }
        func path(_ name: String) -> String { FileSystem.join(folder, name) }
        guard let bytes = try? FileSystem.read(path(Self.headerName)),
            let header = try? JSONDecoder().decode(Header.self, from: Data(bytes)), header.key == key,
            [1, 2, 4].contains(header.tokenWidth)
        else { throw Damage(reason: "\(Self.headerName) is of other data") }
        self.header = header
        do {
            tokens = try MappedNumbers(path(Self.tokensName), width: header.tokenWidth)
            let hasRecords = FileSystem.kind(of: path(Self.placesName)) != nil
            fields = hasRecords ? try MappedNumbers(path(Self.fieldsName), width: 4) : nil
            places = hasRecords ? try MappedNumbers(path(Self.placesName), width: 8) : nil
        } catch let failure as FileSystem.Failure {
            throw Damage(reason: failure.description)
        }
        try checkPlaces()
    }

    /// Why an entry cannot be used.
    struct Damage: Error { let reason: String }

    private func checkPlaces() throws {
        guard tokens.count == header.tokenCount else {
            throw Damage(reason: "it has another number of tokens")
        }
        guard let places, let fields else { return }
        guard places.count == 2 * header.recordCount + 2 else {
            throw Damage(reason: "it has another number of examples")
        }
        var last = (0, 0)
        for record in 0...header.recordCount {
            let next = (places[2 * record], places[2 * record + 1])
            guard next.0 >= last.0, next.1 >= last.1, next.0 <= tokens.count, next.1 <= fields.count else {
                throw Damage(reason: "places of examples are out of order")
            }
            last = next
            if record & 0xFFFF == 0 { places.release() }
        }
        places.release()
    }

    /// An example's fields and tokens.
    func record(_ index: Int) -> (fields: [Int32], tokens: [Int32]) {
        guard let places, let fields else { preconditionFailure("a text has no examples") }
        let start = 2 * index
        return (fields[places[start + 1]..<places[start + 3]], tokens[places[start]..<places[start + 2]])
    }

    /// Lets go of what was read.
    func release() {
        tokens.release()
        fields?.release()
        places?.release()
    }
}
