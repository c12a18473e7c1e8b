import Foundation
import LigerRuntime
import LigerTrainer
import TestSupport
import Testing

/// Runs that are only planned, with the real command.
@Suite(.serialized) struct PlanCommandTests {
    private static func plan(_ result: LigerProcess.Result) throws -> [String: Any] {
        let object = try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any]
        return try #require(object?["plan"] as? [String: Any])
    }

    /// A plan says what the run itself says before its first step, and writes nothing.
    @Test func saysWhatTheRunSays() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let options = ["--epochs", "2", "--lora-rank", "2"]
            let base = folder + "/base"
            #expect(try small.train(["--steps", "1"], out: base).status == 0)
            var words = options + ["--model", base + "/final"]
            words = small.arguments(words).filter { $0 != "--steps" && $0 != "12" }
            let planned = try LigerProcess.run(words + ["--plan-only"], in: folder)
            #expect(planned.status == 0, "\(planned.errors)")
            #expect(!FileManager.default.fileExists(atPath: small.out))
            let ran = try LigerProcess.run(words, in: folder)
            #expect(ran.status == 0, "\(ran.errors)")
            for begin in ["text ", "model ", "adapter ", "device ", "memory "] {
                func line(_ text: String) -> Substring? {
                    text.split(separator: "\n").first { $0.hasPrefix(begin) }.map { $0.prefix { $0 != ";" } }
                }
                #expect(line(planned.output) != nil && line(planned.output) == line(ran.output))
            }
            let shared = "--shard all and --head parallel changes nothing: one process keeps everything"
            let alone = try LigerProcess.run(
                words + ["--plan-only", "--shard", "all", "--head", "parallel"], in: folder)
            #expect(alone.output.contains(shared) && !planned.output.contains("changes nothing"))
            let steps = try MetricsLog.read(small.out + "/metrics.jsonl").compactMap(\.loss).count
            #expect(planned.output.contains("steps   \(steps), an evaluation each 5, a checkpoint each 4"))
            let json = try Self.plan(try LigerProcess.run(words + ["--plan-only", "--json"], in: folder))
            #expect(json["steps"] as? Int == steps && json["starts"] as? Bool == true)
        }
    }

    /// For a GPU that is not here: what fits one of 80 GiB does not fit one of 8.
    @Test func plansForAGPUThatIsNotHere() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let words = small.arguments([
                "--model", "llama-3.2-1b", "--dtype", "bf16", "--device", "cuda", "--seq", "512",
                "--plan-only", "--json",
            ])
            let large = try LigerProcess.run(words + ["--gpu-memory", "80GiB"], in: folder)
            #expect(large.status == 0, "\(large.errors)")
            let plan = try Self.plan(large)
            let memory = try #require(plan["memory_bytes"] as? [String: Any])
            let total = try #require(memory["total"] as? Int)
            #expect(memory["free"] as? Int == 80 << 30 && plan["fits"] as? Bool == true)
            #expect(plan["warning"] == nil)
            // What does not fit is refused, by however little, unless it is meant.
            let less = words + ["--gpu-memory", "\(total - 1)"]
            let short = try LigerProcess.run(less, in: folder)
            #expect(
                short.status == 1 && short.errors.contains("or give --recompute blocks or --recompute auto"))
            #expect(try Self.plan(short)["fits"] as? Bool == false)
            #expect(try Self.plan(short)["starts"] as? Bool == false)
            let meant = try LigerProcess.run(less + ["--ignore-memory"], in: folder)
            #expect(meant.status == 0)
            #expect(
                try (Self.plan(meant)["warning"] as? String)?.hasPrefix("warning: the run may take") == true)
            #expect(try LigerProcess.run(words + ["--gpu-memory", "\(total)"], in: folder).status == 0)
            let adapter = try LigerProcess.run(less.dropLast() + ["2GiB", "--lora-rank", "2"], in: folder)
            #expect(
                adapter.status == 1 && adapter.errors.contains("Give --products fp8, or a smaller"),
                "\(adapter.errors)")
            // 1.2 billion weights of 18 bytes each, and activations.
            #expect(total > 20 << 30 && total < 30 << 30, "\(total)")
            let few = try LigerProcess.run(words + ["--gpu-memory", "8GiB"], in: folder)
            #expect(few.status != 0 && few.errors.contains("8.0 GiB of memory free"), "\(few.errors)")
            // Nobody has processes on a GPU that is not here.
            #expect(
                few.errors.contains("or --lora-rank 16 to train an adapter")
                    && !few.errors.contains("nvidia-smi"))
            #expect(try Self.plan(few)["starts"] as? Bool == false)
            let budget = words + ["--gpu-memory", "24GiB", "--recompute", "auto", "--batch", "16"]
            let again = try LigerProcess.run(budget, in: folder)
            #expect(again.status == 0, "\(again.errors)")
            let kept = try #require(try Self.plan(again)["memory_bytes"] as? [String: Any])
            #expect((kept["total"] as? Int ?? .max) < 24 << 30)
        }
    }

    @Test func refusesToWork() throws {
        let device = Device.absentGPU(memoryBytes: 1 << 30, host: .cpu)
        #expect(device.isGPU)
        #expect(throws: RuntimeError.self) { try NDArray(empty: [1], device: device) }
    }

    @Test(arguments: [
        (["--gpu-memory", "80GiB"], "no meaning without --plan-only"),
        (["--gpu-memory", "80GiB", "--plan-only"], "--device is cpu; give --device cuda"),
        (["--eval-data", "TEXT", "--eval-fraction", "0.05"], "--eval-fraction is 0.05, and --eval-data"),
        (["--eval-data", "TEXT", "--eval-fraction", "0.2"], "--eval-fraction is 0.2, and --eval-data"),
        (["--no-cross-entropy"], "--no-cross-entropy has no effect where the output layer is fused with it"),
        (["--plan-only", "--gpus", "3", "--batch", "4"], "3 ranks cannot share evenly"),
        (
            [
                "--plan-only", "--gpus", "2", "--model", "llama-3.2-1b", "--dtype", "bf16", "--shard", "all",
                "--head", "parallel",
            ], "--head parallel cannot be had with this model: its head's weight is the embedding's"
        ),
        (["--plan-only", "--seq", "99999"], "--seq is 99999, but the model nano has"),
    ])
    func saysWhatIsWrong(more: [String], words: String) throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let result = try small.train(more.map { $0 == "TEXT" ? small.dataPath : $0 })
            #expect(result.status != 0 && result.errors.contains(words), "\(result.errors)")
            #expect(!FileManager.default.fileExists(atPath: small.out))
        }
    }
}
