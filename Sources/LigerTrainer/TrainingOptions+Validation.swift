internal import LigerModels
internal import LigerNN
internal import Tile

extension TrainingOptions {
    /// Checks every value and how they fit together.
    /// - Throws: one `TrainerError` (`invalidOptions`) that names all problems, not only the first.
    public func validate() throws {
        let problems =
            nameProblems + pathProblems + sourceProblems + objectiveProblems + instructionProblems
            + adapterProblems + executionProblems + sizeProblems + rateProblems
            + evaluationProblems + courseProblems
        guard !problems.isEmpty else { return }
        let count = problems.count == 1 ? "An option is" : "\(problems.count) options are"
        throw TrainerError(
            .invalidOptions, "\(count) not usable:\n" + problems.map { "  \($0)\n" }.joined(),
            remedy: "See liger train --help.")
    }

    private var nameProblems: [String] {
        var problems: [String] = []
        if data == "" { problems.append("--data is empty; give a file or a folder, or leave it out") }
        if model.isEmpty { problems.append("--model is empty; give a preset or a folder") }
        if out.isEmpty { problems.append("--out is empty; give a folder") }
        if out.unicodeScalars.contains("\u{FFFD}") {
            problems.append("--out is \(out), which is not UTF-8; give another name")
        }
        if let data, !data.isEmpty, Self.trimmed(data) == Self.trimmed(out) {
            problems.append(
                "--out is \(out), as --data; give another folder, or the next run reads its output")
        }
        if !out.isEmpty, ModelPreset(rawValue: model) == nil, Self.trimmed(model) == Self.trimmed(out) {
            problems.append("--out is \(out), as --model; give another folder, so that each holds one model")
        }
        if !Self.dtypes.contains(dtype) {
            let allowed = Self.dtypes.map(\.rawValue).joined(separator: " or ")
            problems.append("--dtype is \(dtype.rawValue); it must be \(allowed)")
        }
        return problems
    }

    private var pathProblems: [String] {
        let paths: [(option: String, path: String?)] =
            [
                ("--data", data), ("--model", model), ("--eval-data", source.evaluation),
                ("--cache", source.cache), ("--reference", objective.reference),
                ("--teacher", objective.teacher), ("--chat-template", instructions.chatTemplate),
                ("--adapter", adapter.folder), ("--out", out),
            ] + source.others.map { ("--mix", $0) }
        return paths.compactMap { path in
            path.path.flatMap { FileSystem.shellProblem(path.option, $0) }
        }
    }

    private var executionProblems: [String] {
        var problems: [String] = []
        if !Execution.momentTypes.contains(execution.moments) {
            problems.append("--moments is \(execution.moments.rawValue); it must be f32, bf16 or u8")
        }
        if !Execution.dtypes.contains(execution.gradients) {
            problems.append("--gradients is \(execution.gradients.rawValue); it must be f32 or bf16")
        }
        if execution.updates == .inBackward {
            if accumulate > 1 {
                problems.append(
                    "--update-in-backward updates weights by the gradients of one part of a batch, and --accumulate is "
                        + "\(accumulate); leave one of them out")
            }
            if execution.graph {
                problems.append(
                    "--update-in-backward and --graph exclude each other, as a graph has one learning rate; leave one out"
                )
            }
        }
        if dtype == .f32 {
            let advice = "weights are f32 as they are; leave it out, or give --dtype bf16"
            if execution.masters != .f32 {
                problems.append("--masters is \(execution.masters.rawValue), but \(advice)")
            }
            if execution.gradients == .bf16 { problems.append("--gradients is bf16, but \(advice)") }
        }
        if let budget = execution.lossBudget, !(1...1 << 20).contains(budget) {
            problems.append("--loss-budget is \(budget); it must be 1 MiB at least and 1048576 at most")
        }
        if execution.lossBudget != nil, !kernels[.fusedLinearCrossEntropy] {
            problems.append(
                "--loss-budget bounds the chunks of the fused linear cross entropy, which is off; leave it out, or add "
                    + "--fused-linear-cross-entropy")
        }
        if execution.graph, device == .cpu {
            problems.append("--graph is for GPUs; leave it out, or give --device cuda")
        }
        if execution.attention == .flash, device == .cpu {
            problems.append("--attention flash is for GPUs; leave it out, or give --device cuda")
        }
        if execution.attention == .flash, dtype == .f32 {
            problems.append("--attention flash takes 16 bits; leave it out, or give --dtype bf16")
        }
        problems += execution.budgetProblems
        if execution.recompute == .selective, !kernels[.rmsNorm], !kernels[.swiGLU] {
            problems.append(
                "--recompute is selective, which concerns the fused RMSNorm and SwiGLU, and neither is on; give "
                    + "--recompute blocks")
        }
        return problems
    }

    /// A path without slashes at its end.
    private static func trimmed(_ path: String) -> Substring {
        path.dropLast(path.reversed().prefix { $0 == "/" }.count)
    }

    private var sizeProblems: [String] {
        var problems: [String] = []
        let sizes = [
            ("--steps", steps), ("--batch", batch), ("--seq", sequenceLength), ("--accumulate", accumulate),
            ("--keep", keep), ("--eval-batches", evaluationBatches),
        ]
        for (name, value) in sizes where value < 1 {
            problems.append("\(name) is \(value); it must be at least 1")
        }
        for (name, value) in [("--warmup", warmup ?? 0), ("--save-every", saveEvery)] where value < 0 {
            problems.append("\(name) is \(value); it must be at least 0")
        }
        // Epochs come to steps once the data is read.
        if let warmup, steps >= 1, warmup >= scheduleLength, course.epochs == nil {
            problems.append("--warmup is \(warmup); it must be less than --steps, which is \(scheduleLength)")
        }
        if batch >= 1 && sequenceLength >= 1 && accumulate >= 1 && steps >= 1 && !tokensFit {
            problems.append("--batch x --seq x --accumulate x --steps is more tokens than can be counted")
        } else if batch >= 1 && sequenceLength > Int(Int32.max) / batch / objective.kind.answersPerExample {
            problems.append(
                "--batch x --seq is more than \(Int32.max) tokens in one pass; lower them and raise --accumulate"
            )
        }
        return problems
    }

    private var tokensFit: Bool {
        var product = 1
        for factor in [batch, sequenceLength, accumulate, steps] {
            let (value, overflow) = product.multipliedReportingOverflow(by: factor)
            if overflow { return false }
            product = value
        }
        return true
    }

    private var rateProblems: [String] {
        var problems: [String] = []
        for (name, value) in [("--lr", learningRate), ("--epsilon", epsilon)]
        where !(value > 0 && value.isFinite) {
            problems.append("\(name) is \(value); it must be a finite number above 0")
        }
        for (name, value) in [("--clip", clip), ("--weight-decay", weightDecay)]
        where !(value >= 0 && value.isFinite) {
            problems.append("\(name) is \(value); it must be a finite number of at least 0")
        }
        if !(0..<1).contains(beta1) || !(0..<1).contains(beta2) {
            problems.append("--betas are \(beta1),\(beta2); both must be at least 0 and below 1")
        }
        if let minimumRatio {
            if !(0...1).contains(minimumRatio) {
                problems.append("--min-ratio is \(minimumRatio); it must be from 0 to 1")
            } else if schedule == .constant {
                problems.append("--min-ratio has no meaning with --schedule constant; leave one of them out")
            }
        }
        return problems
    }

    private var evaluationProblems: [String] {
        var problems: [String] = []
        if let sampleEvery {
            if sampleEvery < 1 { problems.append("--sample-every is \(sampleEvery); it must be at least 1") }
            if sample == nil { problems.append("--sample-every has no meaning without --sample") }
        }
        if !(0..<1).contains(evaluationFraction) {
            problems.append("--eval-fraction is \(evaluationFraction); it must be at least 0 and below 1")
        }
        let usual = TrainingOptions()
        if evaluationInterval == nil, evaluationBatches != usual.evaluationBatches {
            problems.append(
                "--eval-batches is \(evaluationBatches), but --eval-fraction is 0; leave one of them out")
        }
        if saveEvery == 0, keep != usual.keep {
            problems.append(
                "--keep is \(keep), but --save-every 0 makes no checkpoints; leave one of them out")
        }
        if let evaluationEvery {
            if evaluationEvery < 1 {
                problems.append("--eval-every is \(evaluationEvery); it must be at least 1")
            } else if evaluationFraction == 0, source.evaluation == nil {
                problems.append("--eval-every needs text to evaluate, but --eval-fraction is 0")
            }
        }
        return problems
    }
}
