internal import Platform

/// Starts the ranks of a run as processes of this machine, and ends with them.
///
/// They are spawned anew, not forked: a driver that was started does not outlive a fork. Each gets the arguments of this
/// process and, in the environment, its place, as torchrun would say it.
public struct RankLauncher {
    private let count: Int
    private let arguments: [String]
    private let environment: [String: String]

    /// Seconds that ranks have to end by themselves once one has failed.
    private static let grace = 15.0

    /// - Parameters:
    ///   - count: how many ranks.
    ///   - arguments: of this process, with its name.
    public init(count: Int, arguments: [String]) {
        self.count = count
        self.arguments = arguments
        environment = ProcessInfo.processInfo.environment
    }

    /// Whether a launcher, this or another's, has started this process as one of several.
    ///
    /// - Throws: `TrainerError` (`ranksUnusable`), also if there are not as many as were asked for.
    public static func isRank(of count: Int) throws -> Bool {
        guard let place = try RankPlace(ProcessInfo.processInfo.environment, out: "") else { return false }
        if place.count == count { return true }
        throw TrainerError(
            .ranksUnusable, "--gpus is \(count), but \(place.count) ranks were started.",
            remedy: "Leave --gpus out where another launcher starts them.")
    }

    /// Runs them to the end.
    ///
    /// - Returns: 0, or the status of the first that failed: 128 and the signal's number if one ended it.
    /// - Throws: `TrainerError` (`ranksUnusable`) if the system starts no processes.
    public func run() throws -> Int32 {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("liger-\(getpid())").path
        try? FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        return try StopSignal.watching {
            var ranks: [pid_t] = []
            do {
                for rank in 0..<count { ranks.append(try spawn(rank, meetingIn: folder)) }
            } catch {
                for rank in ranks { kill(rank, SIGKILL) }
                throw error
            }
            return wait(for: ranks)
        }
    }

    private func spawn(_ rank: Int, meetingIn folder: String) throws -> pid_t {
        var variables = environment
        variables["RANK"] = "\(rank)"
        variables["LOCAL_RANK"] = "\(rank)"
        variables["WORLD_SIZE"] = "\(count)"
        variables[RankPlace.Variable.meeting] = "\(folder)/ranks"
        variables[RankPlace.Variable.launcher] = "\(getpid())"
        if variables["LIGER_THREADS"] == nil {
            variables["LIGER_THREADS"] = "\(max(1, ProcessInfo.processInfo.activeProcessorCount / count))"
        }
        // Of their own group, so that a terminal's Ctrl-C comes to this process alone, which hands it on.
        guard
            let process = System.spawn(
                try System.executablePath(), arguments, variables.map { "\($0)=\($1)" }.sorted())
        else {
            throw TrainerError(
                .ranksUnusable, "The system starts no process for rank \(rank).",
                remedy: "Allow more processes, or give fewer --gpus.")
        }
        return process
    }

    /// Hands signals on, and ends those that remain a while after one has failed.
    private func wait(for ranks: [pid_t]) -> Int32 {
        var running = Set(ranks)
        var (result, deadline, handedOn): (Int32, Double, Int32) = (0, .infinity, 0)
        while !running.isEmpty {
            for rank in running {
                var status: Int32 = 0
                guard waitpid(rank, &status, WNOHANG) == rank else { continue }
                running.remove(rank)
                let code = status & 0x7f == 0 ? status >> 8 & 0xff : 128 + (status & 0x7f)
                if code != 0, result == 0 {
                    (result, deadline) = (code, ProgressDisplay.seconds() + Self.grace)
                }
            }
            if let signal = StopSignal.pending, signal != handedOn {
                handedOn = signal
                for rank in running { kill(rank, signal) }
            }
            if ProgressDisplay.seconds() > deadline { for rank in running { kill(rank, SIGKILL) } }
            usleep(20_000)
        }
        return result
    }
}
