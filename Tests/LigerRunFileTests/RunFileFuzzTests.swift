import Foundation
import LigerRunFile
import TestSupport
import Testing

/// Mutated files are read or refused, in little time, and never trap. `LIGER_TEST_MUTATIONS` sets how many.
@Suite struct RunFileFuzzTests {
    private static let mutation = Mutation(
        splices: [
            "&a ", "*a", "!!int ", "!<x> ", "? ", ": ", "- ", "[", "]", "{", "}", "|\n", ">-\n ", "\"",
            "\u{27}",
            "\\ud800",
            "\\x", "%TAG ! x\n", "---\n", "...\n", "# ", "\t", "\r", "\u{85}", "\u{FEFF}", "<<: *a\n", "null",
            "~", "\u{0}", "\u{2028}",
            "steps: 1\n", "steps", "    ", "@", "`",
        ], changes: 4, longest: 20)

    @Test func mutatedFilesNeverTrap() throws {
        let count = ProcessInfo.processInfo.environment["LIGER_TEST_MUTATIONS"].flatMap(Int.init) ?? 2000
        let written = RunFileWriter.text(
            SmallOptions.all, ["sample": ["a \"b\"\n"], "data": ["x", "y"], "packing": ["true"]])
        let seeds = [
            written, "steps: 3\nmodel: {a: [1, 2]}\n? [x]\n: |\n  text\n", "betas: [0.9, 0.95]\n",
            "a: &a [1, *b]\nb: &b {c: *a}\n",
        ].map { Array($0.utf8) }
        var random = SeededGenerator(seed: 11)
        var (read, refused) = (0, 0)
        for index in 0..<count {
            let bytes = Self.mutation.mutate(seeds[index % seeds.count], &random)
            do throws(RunFileError) {
                let file = try RunFile(bytes, path: "f", options: SmallOptions.all)
                #expect(Set(file.entries.map(\.option.name)).count == file.entries.count)
                read += 1
            } catch {
                #expect(
                    !error.problems.isEmpty
                        && error.problems.allSatisfy { ($0.line ?? 1) >= 1 && !$0.text.isEmpty })
                refused += 1
            }
        }
        #expect(read > count / 20 && refused > count / 4, "\(read) read, \(refused) refused")
    }
}
