import Foundation
import LigerTrainer
import Testing

/// Messages between two ends of a pair of sockets.
@Suite struct RankConnectionTests {
    private static func pair() throws -> (RankConnection, RankConnection, Int32) {
        var ends: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        return (RankConnection(ends[0]), RankConnection(ends[1]), ends[1])
    }

    /// A rank that fails right after the meeting says why in the same bytes.
    @Test func whatComesWithTheFirstIsNotLost() throws {
        let (reader, writer, descriptor) = try Self.pair()
        for (kind, bytes) in [(RankConnection.Kind.message, [1, 2]), (.beat, []), (.failure, [3 as UInt8])] {
            writer.send(kind, bytes)
        }
        // Should anything be lost, the end is read in its place, and not waited for.
        shutdown(descriptor, Int32(SHUT_WR))
        #expect(reader.first(within: 60)?.bytes == [1, 2])
        let rest = try #require(reader.receive())
        #expect(rest.map(\.kind) == [.beat, .failure] && rest.last?.bytes == [3])
    }

    /// A header may claim 4 GiB, and whoever connects may be anybody.
    @Test(arguments: [101, 1 << 20, 0xFFFF_FFFF]) func longFirstMessagesAreRefusedByTheirHeader(count: Int)
        throws
    {
        let (reader, writer, descriptor) = try Self.pair()
        let header = (0..<4).map { UInt8(truncatingIfNeeded: count >> (8 * $0)) } + [1]
        withExtendedLifetime(writer) {
            #expect(write(descriptor, header, 5) == 5)
            let began = ContinuousClock.now
            #expect(reader.first(within: 600, limit: 100) == nil)
            #expect(began.duration(to: .now) < .seconds(300))
        }
    }

    /// Its header alone does not refuse a message of the limit whose bytes come later.
    @Test func messagesOfTheLimitMayComeInPieces() throws {
        let (reader, writer, descriptor) = try Self.pair()
        let header: [UInt8] = [100, 0, 0, 0, 1]
        withExtendedLifetime(writer) {
            #expect(write(descriptor, header + [UInt8](repeating: 7, count: 50), 55) == 55)
            Thread.detachNewThread {
                usleep(100_000)
                _ = write(descriptor, [UInt8](repeating: 7, count: 50), 50)
            }
            #expect(reader.first(within: 60, limit: 100)?.bytes.count == 100)
        }
    }

    @Test func messagesOfTheLimitAreTaken() throws {
        let (reader, writer, _) = try Self.pair()
        writer.send(.message, [UInt8](repeating: 7, count: 100))
        #expect(reader.first(within: 60, limit: 100)?.bytes.count == 100)
        writer.send(.message, [UInt8](repeating: 7, count: 101))
        #expect(reader.first(within: 60, limit: 100) == nil)
    }
}
