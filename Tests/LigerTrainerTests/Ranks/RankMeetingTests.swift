import Foundation
import LigerTrainer
import TestSupport
import Testing

/// Whom rank 0 takes for one of its own. The other rank is played by this process.
@Suite struct RankMeetingTests {
    /// What a newcomer says of itself.
    private struct Hello: Encodable {
        var job = "a"
        var rank = 1
        var count = 2
        var process = getpid()
        var host = "elsewhere"
        var program = "0123456789abcdef"
    }

    /// Says who it is to rank 0, which must have begun to listen.
    private static func come(_ hello: Hello, at place: String) throws -> RankConnection {
        let began = ContinuousClock.now
        while true {
            let words = ((try? text(of: place)) ?? "").split { $0 == " " || $0 == "\n" }
            if words.count == 2, let port = UInt16(words[1]) {
                let connection = try connect(port)
                connection.send(.message, Array(try JSONEncoder().encode(hello)))
                return connection
            }
            try #require(ContinuousClock.now - began < .seconds(60))
            usleep(10_000)
        }
    }

    private static func connect(_ port: UInt16) throws -> RankConnection {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        (address.sin_family, address.sin_port) = (sa_family_t(AF_INET), port.bigEndian)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        let code = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Foundation.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try #require(code == 0)
        return RankConnection(descriptor)
    }

    /// Why rank 0 does not take who has come.
    private static func answer(to connection: RankConnection) throws -> String {
        let answer = try #require(connection.first(within: 60))
        #expect(answer.kind == .failure)
        return String(decoding: answer.bytes, as: UTF8.self)
    }

    private static func rank0(of count: Int, _ small: SmallRun, at place: String) throws -> LigerProcess {
        try LigerProcess(
            small.arguments(["--batch", "6"]), in: small.folder,
            environment: [
                "RANK": "0", "WORLD_SIZE": "\(count)", "LOCAL_RANK": "0", "LIGER_MEETING": place,
                "LIGER_LAUNCHER": "\(getpid())",
                "TORCHELASTIC_RUN_ID": "a",
            ])
    }

    /// Both ends say why.
    @Test(arguments: [
        (Hello(), "rank 1 (process \(getpid()) on elsewhere) runs another program than rank 0"),
        (Hello(count: 3), "says that there are 3 ranks, rank 0 (process "),
        (Hello(rank: 0), "says that there are 2 ranks, rank 0 (process "),
        (Hello(rank: -1), "rank -1 (process"), (Hello(rank: 2), "rank 2 (process"),
    ])
    private func othersAreRefused(hello: Hello, message: String) throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder), place = folder + "/meeting"
            let first = try Self.rank0(of: 2, small, at: place)
            let answer = try Self.answer(to: Self.come(hello, at: place))
            let result = try first.wait()
            #expect(answer.contains(message), "\(answer)")
            #expect(result.status != 0 && result.errors.contains(message), "\(result.errors)")
            #expect(!FileManager.default.fileExists(atPath: small.out))
        }
    }

    /// One that meets another run at the same place is passed over, and rank 0 waits on; the checksum of its own program is
    /// taken.
    @Test func anotherRunIsPassedOver() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder), place = folder + "/meeting"
            let first = try Self.rank0(of: 3, small, at: place)
            let stranger = try Self.come(Hello(job: "b", count: 7), at: place)
            #expect(stranger.first(within: 60) == nil)
            // Taken, and then two of one number.
            let program = try Checksum.digits(ofFile: LigerProcess.executable().path)
            let second = try Self.come(Hello(count: 3, program: program), at: place)
            let third = try Self.come(Hello(count: 3, program: program), at: place)
            let answer = try Self.answer(to: third)
            #expect(answer.contains("have the same number"), "\(answer)")
            let result = try first.wait()
            #expect(result.status != 0 && result.errors.contains("have the same number"), "\(result.errors)")
            withExtendedLifetime(second) {}
        }
    }
}
