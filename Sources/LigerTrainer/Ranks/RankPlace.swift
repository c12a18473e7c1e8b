internal import Platform

/// Which of a run's processes this one is, as its launcher says in the environment.
package struct RankPlace: Sendable, Equatable {
    /// From 0.
    package let rank: Int
    /// How many processes there are.
    package let count: Int
    /// Among the processes of this machine, from 0: the number of its GPU.
    package let localRank: Int
    /// Where all find each other.
    package let meeting: Meeting
    /// Tells runs apart that meet at the same place.
    package let job: String
    /// The process that started this one and ends with it; nil where another's launcher did.
    package let launcher: Int32?

    /// Where ranks find each other.
    package enum Meeting: Sendable, Equatable {
        /// Rank 0 listens there.
        case address(host: String, port: Int)
        /// Rank 0 writes there where it listens; within one machine if `isLocal`.
        case file(String, isLocal: Bool)
    }

    /// The variables in which launchers say where a process stands, and what they mean.
    private struct Launcher {
        let name: String
        let rank: String
        let count: String
        let localRank: String
        let job: [String]
    }

    private static let launchers = [
        Launcher(
            name: "torchrun", rank: "RANK", count: "WORLD_SIZE", localRank: "LOCAL_RANK",
            job: ["TORCHELASTIC_RUN_ID"]),
        Launcher(
            name: "mpirun", rank: "OMPI_COMM_WORLD_RANK", count: "OMPI_COMM_WORLD_SIZE",
            localRank: "OMPI_COMM_WORLD_LOCAL_RANK", job: ["PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid"]),
        // Set within steps of srun only: a batch script's own process is none of several.
        Launcher(
            name: "srun", rank: "SLURM_PROCID", count: "SLURM_STEP_NUM_TASKS", localRank: "SLURM_LOCALID",
            job: ["SLURM_JOB_ID", "SLURM_STEP_ID"]),
    ]

    package init(
        rank: Int, count: Int, localRank: Int, meeting: Meeting, job: String = "", launcher: Int32? = nil
    ) {
        (self.rank, self.count, self.localRank) = (rank, count, localRank)
        (self.meeting, self.job, self.launcher) = (meeting, job, launcher)
    }

    /// Nil where no launcher started this process, or one that starts a single process.
    ///
    /// - Parameter out: the output folder, where ranks meet that were given no address.
    /// - Throws: `TrainerError` (`ranksUnusable`) if variables are missing or hold no numbers.
    package init?(_ environment: [String: String], out: String) throws {
        guard let launcher = Self.launchers.first(where: { environment[$0.count] != nil }) else { return nil }
        func number(_ name: String, below bound: Int) throws -> Int {
            let text = environment[name]
            guard let text, let value = Int(text), (0..<bound).contains(value) else {
                throw TrainerError(
                    .ranksUnusable,
                    "\(launcher.count) is set, as \(launcher.name) does, but \(name) is "
                        + "\(text.map { "\"\($0)\"" } ?? "not").",
                    remedy: "Start with \(launcher.name) or by --gpus, or unset \(launcher.count).")
            }
            return value
        }
        count = try number(launcher.count, below: 1 << 20)
        guard count > 1 else { return nil }
        rank = try number(launcher.rank, below: count)
        localRank = try number(launcher.localRank, below: count)
        job = launcher.job.compactMap { environment[$0] }.joined(separator: ".")
        meeting = try Self.meeting(environment, out: out)
        self.launcher = environment[Variable.launcher].flatMap(Int32.init)
    }

    /// What `liger train --gpus` says to the processes it starts.
    package enum Variable {
        package static let meeting = "LIGER_MEETING"
        package static let launcher = "LIGER_LAUNCHER"
    }

    private static func meeting(_ environment: [String: String], out: String) throws -> Meeting {
        if let file = environment[Variable.meeting] {
            return .file(file, isLocal: environment[Variable.launcher] != nil)
        }
        guard let host = environment["MASTER_ADDR"], !host.isEmpty else {
            return .file(FileSystem.join(out, ".ranks"), isLocal: false)
        }
        let text = environment["MASTER_PORT"] ?? "29500"
        guard let port = Int(text), (1..<65_535).contains(port) else {
            throw TrainerError(
                .ranksUnusable, "MASTER_PORT is \"\(text)\".",
                remedy: "Set it to a free port of rank 0's machine, from 1 to 65534.")
        }
        // torchrun itself listens there; ranks take the next.
        let isTaken = environment["TORCHELASTIC_USE_AGENT_STORE"] == "True"
        return .address(host: host, port: isTaken ? port + 1 : port)
    }
}
