internal import ArgumentParser
internal import LigerModels
internal import LigerTrainer
internal import Platform

/// Continues a prompt with a trained model.
struct Generate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Continue a prompt with a trained model.",
        discussion: """
            Reads the prompt at once, then one token at a time, and shows text as it comes. A text ends with the \
            model's or the tokenizer's end of text, which is not shown, or after --tokens. Without --temperature the \
            likeliest token is taken each time; with it the same --seed draws the same text.

            EXAMPLES:
              liger generate runs/train --prompt "The kernel"
              liger generate runs/train --prompt "Once" --tokens 200 --temperature 0.8
              liger generate Llama-folder --adapter runs/lora --prompt "Once"
              liger generate runs/tuned --chat --prompt "What is a tile?" --temperature 0.7
              echo "The kernel" | liger generate runs/train --prompt - --json
            """)

    @OptionGroup(title: "Model") var source: ModelArguments

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("The text to continue; - reads it from standard input.", valueName: "text"))
    var prompt: String

    @Flag(
        help: """
            Take the prompt as a message to the model, written by its chat template, and show the answer alone.
            """)
    var chat = false

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("With --chat: what the system says before.", valueName: "text"))
    var system: String?

    @Option(parsing: .unconditional, help: ArgumentHelp("The most tokens to add.", valueName: "count"))
    var tokens = 128

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Scores are divided by it: more is more varied. 0 takes the likeliest token.", valueName: "number"
        ))
    var temperature = 0.0

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Draw from so many of the likeliest tokens. (default: all)", valueName: "count"))
    var topK: Int?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Draw from the likeliest tokens that have this probability together. (default: all)",
            valueName: "share"))
    var topP: Double?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("With --temperature: decides what is drawn. (default: 0)", valueName: "seed"))
    var seed: UInt64?

    @Flag(help: "Print one JSON object, with tokens and times, instead of text.")
    var json = false

    func validate() throws {
        if tokens < 1 { throw ValidationError("--tokens is \(tokens); it must be at least 1.") }
        if !(temperature >= 0 && temperature.isFinite) {
            throw ValidationError("--temperature is \(temperature); it must be at least 0.")
        }
        if let topK, topK < 1 { throw ValidationError("--top-k is \(topK); it must be at least 1.") }
        if let topP, !(topP > 0 && topP <= 1) {
            throw ValidationError("--top-p is \(topP); it must be above 0 and at most 1.")
        }
        if system != nil, !chat { throw ValidationError("--system has no meaning without --chat.") }
        let given = [("--top-k", topK != nil), ("--top-p", topP != nil), ("--seed", seed != nil)]
        for (option, isGiven) in given where isGiven && temperature == 0 {
            throw ValidationError("\(option) has no meaning without --temperature.")
        }
    }

    func run() throws {
        warnOfDebugBuild()
        let model = try source.load()
        let text = try prompt == "-" ? Self.standardInput() : prompt
        let start = try chat ? model.chatPrompt(text, system: system) : text
        if !json, !chat { Self.write(text) }
        let continuation = try model.continuing(
            start, isChat: chat, count: tokens,
            Sampling(temperature: temperature, topK: topK, topP: topP, seed: seed ?? 0)
        ) { if !json { Self.write($0) } }
        Self.write((json ? try OutputArguments.line(continuation) : "") + "\n")
    }

    /// Without waiting for a line's end.
    private static func write(_ text: String) {
        print(text, terminator: "")
        fflush(nil)
    }

    private static func standardInput() throws -> String {
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        while case let count = read(STDIN_FILENO, &piece, piece.count), count > 0 {
            bytes += piece[..<count]
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ValidationError("The prompt on standard input is not UTF-8.")
        }
        return text.hasSuffix("\n") ? String(text.dropLast()) : text
    }
}
