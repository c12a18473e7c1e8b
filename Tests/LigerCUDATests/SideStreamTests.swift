import FakeCUDA
import LigerRuntime
import TestSupport
import Testing
import Tile

/// A second stream, whose work goes on beside the first one's.
@Suite(.onFakeGPU) struct SideStreamTests {
    /// The side waits for what came before it, and what comes after its mark for the side; the host for neither.
    @Test func streamsWaitForEachOther() throws {
        let device = try makeFakeDevice()
        let side = try #require(try SideStream(on: device))
        let x = try NDArray.zeros([3], device: device), y = try NDArray.zeros([3], device: device)
        let waits = fake.pointee.synchronizations
        let mark = try side.run { try x.copyBytes(to: y) }
        #expect(fake.pointee.waits == 1)
        let (main, own) = (fake.pointee.waited_for.0, fake.pointee.waiting.0)
        #expect(main != own && main != nil && own != nil)
        try mark.join()
        #expect(fake.pointee.waits == 2)
        #expect(fake.pointee.waited_for.1 == own && fake.pointee.waiting.1 == main)
        #expect(fake.pointee.synchronizations == waits)
    }

    /// What one stream has given up may still be in use there: the other does not get it.
    @Test func memoryServesItsOwnStreamAgain() throws {
        let device = try makeFakeDevice()
        let side = try #require(try SideStream(on: device))
        var first: UInt = 0
        _ = try side.run { first = UInt(bitPattern: try NDArray(empty: [1000], device: device).address) }
        let main = try NDArray(empty: [1000], device: device)
        #expect(UInt(bitPattern: main.address) != first)
        _ = try side.run {
            let again = try NDArray(empty: [1000], device: device)
            #expect(UInt(bitPattern: again.address) == first)
        }
    }

    /// Work beside captured work is captured with it.
    @Test func isCapturedToo() throws {
        let device = try makeFakeDevice()
        let side = try #require(try SideStream(on: device))
        let x = try NDArray([1, 2, 3], device: device), y = try NDArray.zeros([3], device: device)
        let graph = try device.capture { try side.run { try x.copyBytes(to: y) }.join() }
        #expect(y.floats == [0, 0, 0])
        try graph.launch()
        #expect(y.floats == [1, 2, 3])
    }

    @Test func processorsHaveNone() throws {
        #expect(try SideStream(on: .cpu) == nil)
    }
}
