internal import ArgumentParser
internal import LigerRunFile
internal import LigerTrainer
internal import Platform

/// The command line of `liger train` together with the run file that it names.
struct RunFileCommandLine {
    /// The options of `train`, from their declarations.
    private let options: [RunOption]
    /// Those of the file, then those of the command line.
    let arguments: [String]

    /// - Parameter given: the words after `train`.
    /// - Throws: `RunFileError`; `TrainerError` (`dataUnreadable`) if the file cannot be read.
    init(_ given: [String]) throws {
        options = try RunOption.declared(in: Train._dumpHelp())
        let line = RunArguments(given, options: options)
        guard let path = line.config else {
            arguments = given
            return
        }
        let file = try RunFile(Self.bytes(of: path), path: path, options: options)
        let problems = file.entries.compactMap(Self.problem)
        if !problems.isEmpty { throw RunFileError(path, problems) }
        arguments = line.joined(file, excluding: LengthArguments.exclusive)
    }

    /// That of this process.
    static func given() throws -> RunFileCommandLine {
        try RunFileCommandLine(Array(CommandLine.arguments.dropFirst(2)))
    }

    /// The words of a command, of `train` with the options of its file put in.
    ///
    /// - Throws: as `init`.
    static func expanded(_ words: [String]) throws -> [String] {
        let given = Array(words.dropFirst())
        guard words.first == "train",
            given.contains(where: { $0 == "--config" || $0.hasPrefix("--config=") }),
            !given.contains(where: { ["-h", "--help", "--version"].contains($0) })
        else { return words }
        return ["train"] + (try RunFileCommandLine(given).arguments)
    }

    /// A file that comes to the same run.
    var text: String { RunFileWriter.text(options, RunArguments(arguments, options: options).values) }

    private static func bytes(of path: String) throws -> [UInt8] {
        do {
            if let count = FileSystem.byteCount(of: path), count > RunFile.mostBytes {
                throw FileSystem.Failure(
                    path, reason: "it has \(count) bytes; a run file has \(RunFile.mostBytes) at most")
            }
            return try FileSystem.read(path)
        } catch let failure as FileSystem.Failure {
            throw TrainerError(
                .dataUnreadable, "Cannot read --config \(path): \(failure.reason).",
                remedy: "Give a YAML file; liger train --print-config writes one.")
        }
    }

    /// What the option itself says of a value; how options fit together is checked later, as on the command line.
    private static func problem(_ entry: RunFile.Entry) -> RunFileError.Problem? {
        do {
            _ = try TrainingArguments.parse(entry.arguments)
            return nil
        } catch {
            return RunFileError.Problem(line: entry.line, TrainingArguments.message(for: error))
        }
    }
}
