import LigerRunFile
import TestSupport
import Testing

/// Options as a command would declare them.
enum SmallOptions {
    static func option(
        _ name: String, _ kind: RunOption.Kind = .value, section: String = "Sizes", value: String = "count",
        standard: String? = nil, values: [String] = [], isRepeating: Bool = false
    ) -> RunOption {
        RunOption(
            name: name, kind: kind, section: section, help: "What \(name) is for.", valueName: value,
            standard: standard, values: values, isRepeating: isRepeating)
    }

    static let all = [
        option("data", value: "path", isRepeating: true), option("model", value: "preset", standard: "tiny"),
        option("steps", standard: "300"), option("epochs"),
        option("schedule", values: ["constant", "linear", "cosine"]),
        option("betas", section: "Optimiser", value: "first,second", standard: "0.9,0.95"),
        option("eval-every"), option("graph", .flag), option("packing", .toggle),
        option("sample", value: "text"),
    ]

    static func read(_ text: String) throws -> RunFile {
        try RunFile(Array(text.utf8), path: "run.yaml", options: all)
    }

    /// What is wrong with a file, in the words of its error.
    static func refusal(_ text: String) -> String? {
        do {
            _ = try read(text)
            return nil
        } catch {
            return "\(error)"
        }
    }
}

@Suite struct RunFileTests {
    @Test func valuesAreTakenAsTheyAreWritten() throws {
        let file = try SmallOptions.read(
            """
            %YAML 1.1
            ---
            # A run.
            model: "no"          # a name
            steps: 0012
            betas: [0.9, 0.95]
            data: [a.txt, "b c.txt"]
            sample: >-
              two
              lines
            graph: true
            packing: False
            eval-every: 1e3
            ...

            """)
        #expect(
            file.entries.flatMap(\.arguments) == [
                "--model=no", "--steps=0012", "--betas=0.9,0.95", "--data=a.txt", "--data=b c.txt",
                "--sample=two lines", "--graph", "--no-packing", "--eval-every=1e3",
            ])
        #expect(file.entries.map(\.line) == [4, 5, 6, 7, 8, 11, 12, 13])
        #expect(try SmallOptions.read("").entries.isEmpty && SmallOptions.read("# nothing\n").entries.isEmpty)
        #expect(
            try SmallOptions.read("\u{FEFF}steps: 3\r\ngraph: false\r\n").entries.flatMap(\.arguments) == [
                "--steps=3"
            ])
    }

    /// Each with the whole message.
    @Test(arguments: [
        ("num_train_epochs: 3", "line 1: there is no option num_train_epochs; the nearest is epochs."),
        ("stepss: 3", "line 1: there is no option stepss; the nearest is steps."),
        ("\neval_every: 3", "line 2: there is no option eval_every; the nearest is eval-every."),
        ("no-packing: true", "line 1: no-packing is no key; write packing: false."),
        ("zzzzzzzz: 3", "line 1: there is no option zzzzzzzz; liger train --print-config shows all."),
        ("model: a\nsteps: 1\nmodel: b", "line 1: model is given more than once; keep one of them."),
        ("steps: 1\n\"steps\": 2", "line 1: steps is given more than once; keep one of them."),
        ("steps: [1, 2]", "line 1: steps has a list, but takes one value: <count>."),
        ("steps:\n  a: 1", "line 1: steps has keys of its own below it, but takes one value: <count>."),
        ("steps:", "line 1: steps has no value; give one, or leave the key out."),
        ("steps: ~", "line 1: steps has no value; give one, or leave the key out."),
        ("betas: []", "line 1: betas has an empty list; give values, or leave the key out."),
        ("betas: [1, [2]]", "line 1: betas: an item of a list must be one number or word."),
        ("graph: yes", "line 1: graph is yes; it must be true or false."),
        (
            "schedule: cosin",
            "line 1: schedule is cosin; it must be one of constant, linear, cosine. Was cosine meant?"
        ),
        ("steps: &a 1", "line 1: steps: anchors and aliases (& and *) are not read; write the value out."),
        ("steps: !!int 1", "line 1: steps: tags (!) are not read; leave it out."),
        ("steps: 1\n---\nsteps: 2", "line 2: this is not YAML: but found another document."),
        ("- steps", "line 1: this is no list of keys with values, such as lr: 3e-4."),
        ("steps", "line 1: this is no list of keys with values, such as lr: 3e-4."),
        ("[1, 2]: 3", "line 1: a key is no word."),
        ("steps: \"1", "line 1: this is not YAML: found unexpected end of stream."),
        ("a: b\n\tc: d", "line 2: this is not YAML: found a tab character that violates indentation."),
        ("steps: \u{1}", "line 1: this is not YAML: control characters are not allowed."),
    ]) func refusals(text: String, message: String) {
        #expect(SmallOptions.refusal(text) == "run.yaml, \(message)")
    }

    @Test func allProblemsAreNamedAtOnce() {
        #expect(
            SmallOptions.refusal("modell: 1\nsteps: 3\ngraph: 2\nbetas: ~\n") == """
                run.yaml, line 1: there is no option modell; the nearest is model.
                run.yaml, line 3: graph is 2; it must be true or false.
                run.yaml, line 4: betas has no value; give one, or leave the key out.
                """)
    }

    @Test func bytesThatAreNoText() throws {
        func refusal(_ bytes: [UInt8]) -> String? {
            do throws(RunFileError) {
                _ = try RunFile(bytes, path: "f", options: SmallOptions.all)
                return nil
            } catch { return error.description }
        }
        let line = Array("steps: 1\n".utf8)
        #expect(
            refusal(line + [0x23, 0xC3, 0x28])
                == "f, line 2: byte 11 of the file is not UTF-8; save the file as UTF-8.")
        #expect(refusal(line + [0xE2, 0x82])?.contains("byte 10 of the file") == true)
        #expect(refusal(line + [0]) == "f, line 2: a byte is 0, which no text has.")
        let most = RunFile.mostBytes
        #expect(refusal(line + Array(repeating: 0x20, count: most - line.count)) == nil)
        #expect(
            refusal(Array(repeating: 0x20, count: most + 1))
                == "f: it has \(most + 1) bytes; a run file has \(most) at most.")
    }

    /// Nesting as deep as the size allows, and aliases that would come to 10^18 values, also as keys, which are compared.
    @Test(.timeLimit(.minutes(2))) func hostileFilesTakeNoTime() {
        let levels = (1...18).map { level in
            "l\(level): &l\(level) [" + Array(repeating: "*l\(level - 1)", count: 10).joined(separator: ",")
                + "]"
        }
        let bomb = "l0: &l0 [x]\n" + levels.joined(separator: "\n")
        let many = RunFile.mostBytes
        let files = [
            bomb, "? [*a, *a]\n: &a 1\n" + bomb, bomb + "\n? *l18\n: 1",
            String(repeating: "[", count: many), String(repeating: "{", count: many),
            String(repeating: "? ", count: many / 2), String(repeating: "- ", count: many / 2),
            String(repeating: "a: ", count: many / 3), "sample: " + String(repeating: "x", count: many - 8),
            (0..<many / 7).map { "k\($0): 1" }.joined(separator: "\n").prefix(many).description,
            "sample: \"" + String(repeating: "\\n", count: many / 2 - 10) + "\"",
            String(repeating: "\n", count: many), String(repeating: "# ", count: many / 2),
        ]
        for (index, file) in files.enumerated() {
            let seconds = processorSeconds { _ = SmallOptions.refusal(file) }
            #expect(seconds < 5, "file \(index) took \(seconds) s")
        }
        #expect(SmallOptions.refusal(bomb)?.contains("anchors and aliases") == true)
        #expect(SmallOptions.refusal(files[3])?.contains("not YAML") == true)
    }

    @Test func whatTheCommandLineSaysWins() throws {
        let file = try SmallOptions.read(
            "model: a\nsteps: 5\npacking: true\ngraph: true\nsample: x\ndata: d\n")
        let line = [
            "--no-packing", "--config", "run.yaml", "--sample", "--model", "--data=e", "--epochs", "2",
        ]
        let arguments = RunArguments(line, options: SmallOptions.all)
        #expect(arguments.config == "run.yaml")
        #expect(
            arguments.values == ["packing": ["false"], "sample": ["--model"], "data": ["e"], "epochs": ["2"]])
        #expect(
            arguments.joined(file, excluding: [("steps", "epochs")]) == ["--model=a", "--graph"] + line)
        #expect(RunArguments(["--config=a", "--config=b=c"], options: []).config == "b=c")
        #expect(RunArguments(["--", "--config=a"], options: []).config == nil)
    }

    /// What is written is read back to the same values, whatever they are.
    @Test func writesWhatItReads() throws {
        var random = SeededGenerator(seed: 3)
        let texts =
            [
                "no", "~", "", "a b", " a", "-1", "a: b", "#x", "x\ny\t\"\\", "1e-4",
                "é\u{85}\u{2028}\u{FEFF}🦁", "*a", "%", "@", "a,b",
            ]
            + (0..<200).map { _ in
                String(
                    String.UnicodeScalarView(
                        (0..<8).compactMap { _ in
                            Unicode.Scalar(UInt32.random(in: 1...0x2FFF, using: &random))
                        }))
            }
        for text in texts {
            let values = ["sample": [text], "data": [text, "b"], "graph": ["true"], "packing": ["false"]]
            let written = RunFileWriter.text(SmallOptions.all, values)
            let file = try SmallOptions.read(written)
            let given = Dictionary(uniqueKeysWithValues: file.entries.map { ($0.option.name, $0.values) })
            #expect(
                given["sample"] == [text] && given["data"] == [text, "b"],
                "\(text.unicodeScalars.map(\.value))")
            #expect(given["graph"] == ["true"] && given["packing"] == ["false"])
            #expect(given["steps"] == ["300"] && given["betas"] == ["0.9,0.95"] && given["epochs"] == nil)
            let again = RunArguments(file.entries.flatMap(\.arguments), options: SmallOptions.all)
            #expect(RunFileWriter.text(SmallOptions.all, again.values) == written)
        }
        let lines = RunFileWriter.text(SmallOptions.all, [:]).split(separator: "\n").map(String.init)
        #expect(lines.contains("# ---- Optimiser ----") && lines.contains("# epochs: count"))
        #expect(lines.contains("# What schedule is for. (constant, linear, cosine)"))
        #expect(lines.allSatisfy { $0.count <= 100 })
    }
}
