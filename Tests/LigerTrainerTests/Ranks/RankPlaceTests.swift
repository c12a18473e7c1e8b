import LigerTrainer
import Testing

/// What launchers say of a process's place.
@Suite struct RankPlaceTests {
    private func place(_ environment: [String: String]) throws -> RankPlace? {
        try RankPlace(environment, out: "runs/a")
    }

    @Test func oneProcessHasNone() throws {
        #expect(try place([:]) == nil)
        #expect(try place(["RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"]) == nil)
        // A batch script's own process, which srun did not start.
        #expect(try place(["SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_LOCALID": "0"]) == nil)
    }

    @Test func torchrun() throws {
        var environment = [
            "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "MASTER_ADDR": "node0", "MASTER_PORT": "1234",
            "TORCHELASTIC_RUN_ID": "x",
        ]
        let expected = { (port: Int) in
            RankPlace(
                rank: 5, count: 8, localRank: 1, meeting: .address(host: "node0", port: port), job: "x")
        }
        #expect(try place(environment) == expected(1234))
        environment["TORCHELASTIC_USE_AGENT_STORE"] = "True"
        #expect(try place(environment) == expected(1235))
    }

    @Test func mpirunAndSlurm() throws {
        let file = RankPlace.Meeting.file("runs/a/.ranks", isLocal: false)
        let open = try place([
            "OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "1",
            "PMIX_NAMESPACE": "n",
        ])
        #expect(open == RankPlace(rank: 1, count: 2, localRank: 1, meeting: file, job: "n"))
        let slurm = try place([
            "SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4", "SLURM_LOCALID": "1", "SLURM_JOB_ID": "7",
            "SLURM_STEP_ID": "0",
        ])
        #expect(slurm == RankPlace(rank: 3, count: 4, localRank: 1, meeting: file, job: "7.0"))
    }

    @Test(arguments: [
        ["WORLD_SIZE": "2", "LOCAL_RANK": "0"],
        ["WORLD_SIZE": "2", "RANK": "2", "LOCAL_RANK": "0"],
        ["WORLD_SIZE": "2", "RANK": "-1", "LOCAL_RANK": "0"],
        ["WORLD_SIZE": "2", "RANK": "one", "LOCAL_RANK": "0"],
        ["WORLD_SIZE": "two", "RANK": "0", "LOCAL_RANK": "0"],
        ["WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "a", "MASTER_PORT": "65535"],
    ])
    func unusableNumbersAreRefused(environment: [String: String]) {
        let error = #expect(throws: TrainerError.self) { try place(environment) }
        #expect(error?.kind == .ranksUnusable)
    }
}
