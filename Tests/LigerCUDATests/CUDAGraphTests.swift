import FakeCUDA
import LigerRuntime
import TestSupport
import Testing
import Tile

/// Work that is captured once and launched as a whole.
@Suite(.onFakeGPU) struct CUDAGraphTests {
    /// y = -x for a new y; x and y of the same size each time.
    private func negate(_ x: NDArray, into y: NDArray, on device: Device) throws {
        let negate = try CUDAKernel(kernel("negate"), context: device.context())
        try negate.launch(programs: x.count, [x.view, y.view], [])
    }

    @Test func doesTheWorkEachTimeItIsLaunched() throws {
        let device = try makeFakeDevice()
        let x = try NDArray([1, 2, 3], device: device), y = try NDArray.zeros([3], device: device)
        let copy = try NDArray.zeros([3], device: device)
        let graph = try device.capture {
            try negate(x, into: y, on: device)
            try y.copyBytes(to: copy)
        }
        #expect(y.floats == [0, 0, 0], "captured work is not done")
        #expect(fake.pointee.launches == 0 && fake.pointee.graphs == 1)
        for values in [[1, 2, 3], [-4, 0.5, 7]] as [[Float]] {
            try values.withUnsafeBytes { try x.write($0) }
            try graph.launch()
            #expect(copy.floats == values.map { -$0 })
        }
        #expect(fake.pointee.graph_launches == 2)
    }

    /// Memory that captured work uses for itself goes to nobody else, and back when the graph is gone.
    @Test func keepsItsMemory() throws {
        let device = try makeFakeDevice()
        let x = try NDArray([1, 2, 3], device: device)
        var (inner, outer): (UInt, NDArray?) = (0, nil)
        // A free block of the same size, which the captured work then takes.
        _ = try NDArray(empty: [3], device: device)
        var graph: (any CapturedWork)? = try device.capture {
            let y = try NDArray(empty: [3], device: device)
            inner = UInt(bitPattern: y.address)
            try negate(x, into: y, on: device)
            let z = try NDArray(empty: [3], device: device)
            try negate(y, into: z, on: device)
            outer = z
        }
        let result = UInt(bitPattern: try #require(outer).address)
        let others = try (0..<5).map { _ in try NDArray.zeros([3], device: device) }
        let taken = Set(others.map { UInt(bitPattern: $0.address) })
        #expect(!taken.contains(inner) && !taken.contains(result))
        try graph?.launch()
        #expect(outer?.floats == [1, 2, 3])
        #expect(others.allSatisfy { $0.floats == [0, 0, 0] })
        // The result is the graph's even when nobody holds the array any more.
        outer = nil
        let next = try NDArray.zeros([3], device: device)
        #expect(UInt(bitPattern: next.address) != result)
        device.releaseCache()
        try graph?.launch()
        graph = nil
        #expect(fake.pointee.graphs == 0)
        let again = try (0..<2).map { _ in
            UInt(bitPattern: try NDArray(empty: [3], device: device).address)
        }
        #expect(Set(again).isSubset(of: [inner, result]))
    }

    /// While PyTorch captures a graph, a product's first use takes memory and a kernel's first use loads code: the driver
    /// refuses both to threads that heed the capture, and drops it.
    @Test func takesWhatItNeedsInAnotherLibrarysCapture() throws {
        let device = try makeFakeDevice(cudnn: true)
        let a = try NDArray([1, 2, 3, 4], [2, 2], device: device), x = try NDArray([1], device: device)
        fake.pointee.foreign_capture = 1
        let before = fake.pointee.allocations
        let b = try MatMul.apply(a, a)
        let y = try NDArray(empty: [1], device: device)
        // Its checks need a place in the host's memory.
        try negate(x, into: y, on: device)
        #expect(fake.pointee.allocations > before && fake.pointee.products == 1)
        device.releaseCache()
        #expect(fake.pointee.foreign_capture == 1, "the capture was dropped")
        #expect(fake_cuda_heeds_captures() == 1)
        fake.pointee.foreign_capture = 0
        #expect(b.floats == [7, 10, 15, 22] && y.floats == [-1])
    }

    /// A call that fails leaves the thread's rules as they were.
    @Test func heedsCapturesAgainAfterAFailure() throws {
        let device = try makeFakeDevice(memory: 1 << 20)
        #expect(message { _ = try NDArray(empty: [1 << 20], device: device) }.contains("out of memory"))
        #expect(fake_cuda_heeds_captures() == 1)
    }

    @Test func refusesWhatCannotBeCaptured() throws {
        let device = try makeFakeDevice()
        let x = try NDArray([1], device: device)
        #expect(
            message { _ = try device.capture { _ = try x.hostValues() } }
                .contains("while a graph is captured"))
        #expect(
            message { _ = try device.capture { try device.synchronize() } }.contains(
                "cuda:0"))
        #expect(
            message {
                _ = try device.capture { throw RuntimeError("the work's own failure") }
            } == "the work's own failure")
        #expect(message { _ = try Device.cpu.capture {} }.contains("cpu cannot be captured"))
        // None of these leaves the stream capturing, or memory behind.
        try negate(x, into: NDArray.zeros([1], device: device), on: device)
        #expect(fake.pointee.launches == 1 && fake.pointee.graphs == 0)
    }
}
