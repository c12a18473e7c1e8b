import Foundation
import LigerTrainer
import TestSupport
import Testing

/// A run of the smallest preset on a text made up here: a second or less.
struct SmallRun {
    let folder: String
    var out: String { "\(folder)/run" }
    var dataPath: String { "\(folder)/text.txt" }

    /// Writes the text.
    init(in folder: String) throws {
        self.folder = folder
        try write(Self.text, to: dataPath)
    }

    /// 12 kB of words in an order that repeats from run to run.
    private static var text: String {
        let words = ["kernel", "tile", "row", "the", "of", "softmax", "a", "gradient", "and", "norm"]
        var state: UInt64 = 1
        return (0..<2400).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return words[Int(state >> 33) % words.count]
        }.joined(separator: " ")
    }

    /// `liger train` with these options added; an option given twice counts as given last.
    func arguments(_ more: [String] = [], out: String? = nil) -> [String] {
        [
            "train", "--data", dataPath, "--model", "nano", "--steps", "12", "--batch", "2", "--seq", "32",
            "--eval-every", "5", "--save-every", "4", "--eval-batches", "2", "--out", out ?? self.out,
        ] + more
    }

    /// Runs to the end.
    func train(
        _ more: [String] = [], out: String? = nil, environment: [String: String] = [:]
    ) throws -> LigerProcess.Result {
        try LigerProcess.run(arguments(more, out: out), in: folder, environment: environment)
    }

    /// Everything in a run's metrics that must repeat bit for bit: all but times and memory.
    static func numbers(of out: String) throws -> [String] {
        try MetricsLog.read("\(out)/metrics.jsonl").map { line in
            var line = line
            (line.tokensPerSecond, line.seconds, line.memoryBytes) = (nil, nil, nil)
            line.deviceBytes = nil
            return line.json
        }
    }

    static func bytes(_ path: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: path)) }

    /// Checks that two runs came to the same weights, bit for bit.
    static func expectSameModels(
        _ first: String, _ second: String, _ comment: Comment? = nil,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let (a, b) = try (
            bytes("\(first)/final/model.safetensors"), bytes("\(second)/final/model.safetensors")
        )
        // Compared outside of #expect, which would list every difference.
        let areSame = a == b
        #expect(areSame, comment, sourceLocation: sourceLocation)
    }

    /// Every file below a folder with its contents: what a refused command must not change.
    static func contents(of folder: String) throws -> [String: Data] {
        var files: [String: Data] = [:]
        let names = FileManager.default.subpaths(atPath: folder) ?? []
        for name in names {
            var isFolder: ObjCBool = false
            let path = "\(folder)/\(name)"
            if FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), !isFolder.boolValue {
                files[name] = try bytes(path)
            }
        }
        return files
    }
}
