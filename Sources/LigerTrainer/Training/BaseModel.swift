internal import LigerModels
internal import Platform

/// The frozen weights that an adapter belongs to, as a run's record names them: checkpoints do not hold them.
package struct BaseModel: Sendable, Equatable, Codable {
    /// Where they were.
    package let path: String
    /// `FrozenModel.fingerprint`: their norm, digit by digit.
    package let fingerprint: String
    /// Of the folder's weights and configuration; nil for a preset, whose weights follow from the seed.
    package let checksum: String?

    package init(path: String, fingerprint: String, checksum: String?) {
        (self.path, self.fingerprint, self.checksum) = (path, fingerprint, checksum)
    }

    /// The checksum of a folder's configuration and weights.
    ///
    /// - Cost: reads all of them.
    static func checksum(of folder: String) throws -> String {
        let names = try FileSystem.names(in: folder).filter {
            $0 == ModelConfiguration.fileName || $0.hasSuffix(".safetensors")
        }
        let lines = try names.sorted().map {
            "\($0) \(try Checksum.digits(ofFile: FileSystem.join(folder, $0)))\n"
        }
        return Checksum.digits(of: Array(lines.joined().utf8))
    }

    /// Whether an adapter of one can go on with the other, wherever they are.
    func isSame(as other: BaseModel) -> Bool {
        fingerprint == other.fingerprint && checksum == other.checksum
    }

    /// In an adapter's folder: what the adapter belongs to, as PEFT's files name a folder at most.
    static let fileName = "base.json"

    /// Writes the file into an adapter's folder.
    func write(into folder: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        let text = String(decoding: try encoder.encode(self), as: UTF8.self)
        try AtomicFile.write(text + "\n", to: FileSystem.join(folder, Self.fileName))
    }

    /// Refuses weights that an adapter was not trained on. Adapters of others say nothing of theirs.
    ///
    /// - Throws: `TrainerError`: `otherBase`, or `dataUnreadable` if what the adapter says cannot be read.
    /// - Cost: reads all weights where the adapter has a checksum of them.
    static func check(adapter: String, on weights: String) throws {
        let file = FileSystem.join(adapter, fileName)
        guard FileSystem.kind(of: file) != nil else { return }
        guard let bytes = try? FileSystem.read(file),
            let base = try? JSONDecoder().decode(BaseModel.self, from: Data(bytes))
        else {
            throw TrainerError(
                .dataUnreadable, "\(file) does not say which weights the adapter belongs to.",
                remedy: "Copy the adapter's folder again, or remove this file to do without the check.")
        }
        guard let expected = base.checksum else { return }
        let found: String
        do {
            found = try checksum(of: weights)
        } catch let failure as FileSystem.Failure {
            throw TrainerError(
                .dataUnreadable, "Cannot read \(failure.path): \(failure.reason).",
                remedy: "Give the base's folder, in Hugging Face layout.")
        }
        guard found != expected else { return }
        throw TrainerError(
            .otherBase,
            "The adapter in \(adapter) was trained on the weights of \(base.path), with the checksum \(expected). Those "
                + "of \(weights) have \(found).",
            remedy: "Give the weights that it was trained on. If these are the same in other files, remove "
                + "\(file).")
    }

    /// What people should know where `check` had nothing to compare; nil where it had.
    ///
    /// - Parameters:
    ///   - adapter: the adapter's folder.
    ///   - weights: the folder of the weights that it is put on.
    /// - Throws: `CheckpointError` if the adapter's configuration cannot be read.
    static func doubt(adapter: String, on weights: String) throws -> String? {
        guard FileSystem.kind(of: FileSystem.join(adapter, fileName)) == nil else { return nil }
        let folder = URL(literalPath: adapter, isFolder: true)
        let named = try AdapterConfiguration(folder: folder).base
        let base =
            named == weights
            ? "Its base_model_name_or_path is that folder; whether the files there have changed since is not known"
            : named.map { "Its base_model_name_or_path is \($0): make sure that these are the same weights" }
                ?? "Its base_model_name_or_path is empty: make sure that these are the weights that it was trained on"
        return
            "the adapter in \(adapter) has no \(fileName), so its base could not be compared with \(weights). \(base)."
    }

    var summary: String { fingerprint + (checksum.map { ", checksum \($0)" } ?? "") }
}
