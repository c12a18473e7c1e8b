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

    var summary: String { fingerprint + (checksum.map { ", checksum \($0)" } ?? "") }
}
