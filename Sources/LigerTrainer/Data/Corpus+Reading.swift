internal import LigerText

extension Corpus.Document {
    /// Its contents, without a byte order mark.
    ///
    /// - Throws: as `read`.
    /// - Cost: all of it in memory.
    public func text() throws -> String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(byteCount)
        try read { bytes.append(contentsOf: $0) }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Hands over the text piece by piece, without a byte order mark.
    ///
    /// - Throws: `TrainerError` (`dataUnreadable`) if the file is gone, or is not what was read first; what `body` throws.
    func read(_ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        var checksum = Checksum()
        var isFirst = true
        do {
            try FileSystem.read(file, pieces: TextScan.pieceSize) { piece in
                checksum.add(piece)
                let start = isFirst ? TextBytes.markLength(piece) : 0
                isFirst = false
                try body(UnsafeRawBufferPointer(rebasing: piece[start...]))
            }
        } catch let failure as FileSystem.Failure where failure.path == file {
            throw TrainerError(
                .dataUnreadable, "Cannot read \(file): \(failure.reason).",
                remedy: "Make it readable, or give other text with --data.")
        }
        guard checksum.digits == self.checksum else {
            throw TrainerError(
                .dataUnreadable, "\(file) was changed while it was read.",
                remedy: "Start again once nothing writes to it.")
        }
    }
}

extension Corpus {
    /// Hands over the tokens of all documents, some at a time. Each document begins and ends as the tokenizer's
    /// post-processor has it, and ends with the tokenizer's end of text, if it has one.
    ///
    /// - Throws: as `Document.read`; what `emit` throws.
    /// - Cost: some MiB of memory.
    func encode(
        _ tokenizer: any Tokenizer, _ progress: DataProgress = .silent, _ emit: ([Int32]) throws -> Void
    ) throws {
        progress.begin(total: byteCount)
        defer { progress.end() }
        var parts = TextParts(tokenizer)
        var done = 0
        for document in documents {
            try emit(tokenizer.openingIDs)
            try document.read { piece in
                try parts.add(piece, emit)
                done += piece.count
                progress.update(done)
            }
            try parts.finish(emit)
            try emit(tokenizer.documentEnd)
        }
    }

    /// All documents by their bytes.
    var parts: [CacheKey.Part] { documents.map { CacheKey.Part(bytes: $0.byteCount, checksum: $0.checksum) } }
}
