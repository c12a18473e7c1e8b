import Platform

/// Code objects on disk, so that a kernel is compiled once for a machine and not once for a process.
///
/// An entry is a file with all that the code follows from (the IR, the architecture, the compiler's version and options), a
/// checksum, and the code. What is not whole, or is of something else, is compiled again and written over. Files are written
/// next to their place and renamed, so that processes may share a folder.
///
/// Owner: its ``HIPCompiler``. Any thread may use it.
package struct CodeCache: Sendable {
    /// Nil keeps nothing.
    package let folder: String?

    package init(folder: String?) { self.folder = folder }

    /// Where LIGER_CACHE says, nowhere if that is `off`; else `~/.cache/liger`, or where XDG_CACHE_HOME says.
    package init(_ environment: [String: String]) {
        func value(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
        if let given = value("LIGER_CACHE") {
            folder = given == "off" ? nil : given + "/hip"
        } else if let base = value("XDG_CACHE_HOME") {
            folder = base + "/liger/hip"
        } else {
            folder = value("HOME").map { $0 + "/.cache/liger/hip" }
        }
    }

    /// What code follows from.
    package struct Key: Hashable, Sendable {
        let bytes: [UInt8]

        package init(text: String, architecture: String, compiler: String, options: [String]) {
            bytes = Array(([architecture, compiler] + options + [text]).joined(separator: "\n").utf8)
        }

        fileprivate var fileName: String { String(Self.hash(bytes), radix: 16) + ".hsaco" }

        /// FNV-1a of 64 bits: it finds damage, not an adversary.
        fileprivate static func hash(_ bytes: [UInt8], from start: UInt64 = 0xCBF2_9CE4_8422_2325) -> UInt64 {
            bytes.reduce(start) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
        }
    }

    private static let magic = Array("liger hip code 1".utf8)
    /// More than any kernel has.
    private static let largest = 64 << 20

    /// The code of a key; nil where there is none that can be trusted to be whole.
    package func code(_ key: Key) -> [UInt8]? {
        guard let folder, let bytes = Self.read(folder + "/" + key.fileName) else { return nil }
        let head = Self.magic.count + 16 + key.bytes.count
        guard bytes.count > head, bytes.starts(with: Self.magic) else { return nil }
        func number(_ offset: Int) -> UInt64 {
            bytes.withUnsafeBytes {
                UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            }
        }
        guard number(Self.magic.count + 8) == UInt64(key.bytes.count),
            bytes[Self.magic.count + 16..<head] == key.bytes[...]
        else { return nil }
        let code = Array(bytes[head...])
        return number(Self.magic.count) == Key.hash(code, from: Key.hash(key.bytes)) ? code : nil
    }

    /// Keeps code. A folder that cannot be written to is no failure: the next process compiles again.
    package func keep(_ code: [UInt8], for key: Key) {
        guard let folder, !code.isEmpty else { return }
        try? FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let path = folder + "/" + key.fileName
        let partial = path + ".\(getpid())-\(UInt64.random(in: 0 ... .max)).partial"
        var bytes = Self.magic
        for number in [Key.hash(code, from: Key.hash(key.bytes)), UInt64(key.bytes.count)] {
            withUnsafeBytes(of: number.littleEndian) { bytes += $0 }
        }
        bytes += key.bytes + code
        if !Self.write(bytes, to: partial) || rename(partial, path) != 0 { unlink(partial) }
    }

    private static func read(_ path: String) -> [UInt8]? {
        guard let file = fopen(path, "rb") else { return nil }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        while bytes.count <= largest {
            let count = fread(&piece, 1, piece.count, file)
            if count == 0 { return bytes }
            bytes += piece[..<count]
        }
        return nil
    }

    private static func write(_ bytes: [UInt8], to path: String) -> Bool {
        guard let file = fopen(path, "wb") else { return false }
        let isWhole = fwrite(bytes, 1, bytes.count, file) == bytes.count
        return fclose(file) == 0 && isWhole
    }
}
