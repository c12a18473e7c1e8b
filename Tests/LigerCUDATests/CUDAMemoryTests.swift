import FakeCUDA
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite(.onFakeGPU) struct CUDAMemoryTests {
    /// Around the staging pieces of 4 MiB, and none.
    @Test(arguments: [0, 1, 3, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (5 << 19) + 7])
    func valuesGoInAndOut(count: Int) throws {
        let device = try makeFakeDevice()
        let values = (0..<count).map { Float($0 % 8191) - 4000 }
        let array = try NDArray(values, device: device)
        // Compared outside of the expectations, which would list millions of differences.
        let isSame = try array.hostValues() == values.map(Double.init)
        #expect(isSame)
        let copy = try array.moved(to: .cpu)
        #expect(copy.device === Device.cpu)
        let areSame = (copy.floats == values, try copy.moved(to: device).floats == values)
        #expect(areSame.0)
        #expect(areSame.1)
        #expect(fake.pointee.contexts_pushed == fake.pointee.contexts_popped)
    }

    @Test(arguments: DType.allCases) func everyStorageTypeGoesInAndOut(dtype: DType) throws {
        let device = try makeFakeDevice()
        // 112 is the largest of its size that two bits of a fraction hold.
        let array = try NDArray(integers: [0, 1, 2, 112, 5, 64], [2, 3], dtype: dtype, device: device)
        #expect(array.integers == [0, 1, 2, 112, 5, 64])
        #expect(array.transposed(0, 1).integers == [0, 112, 1, 5, 2, 64])
        #expect(array.sliced(1, 1..<3).integers == [1, 2, 5, 64])
        #expect(array.sliced(0, 1..<1).integers == [])
    }

    @Test func zerosAndCopiesOnTheDevice() throws {
        let device = try makeFakeDevice()
        let zeros = try NDArray.zeros([3, 5], dtype: .bf16, device: device)
        #expect(zeros.doubles == Array(repeating: 0, count: 15))
        let source = try NDArray([1, 2, 3], device: device)
        let target = try NDArray.zeros([3], device: device)
        try source.copyBytes(to: target)
        #expect(target.floats == [1, 2, 3])
    }

    @Test func blocksAreReusedPerStream() throws {
        let device = try makeFakeDevice()
        let context = try device.context()
        _ = try NDArray.zeros([1000], device: device)
        let first = fake.pointee.allocations
        _ = try NDArray.zeros([1001], device: device)
        #expect(fake.pointee.allocations == first)
        let other = GPUStream(borrowing: 0, on: context.gpu)
        try GPUStream.$given.withValue(other) { _ = try NDArray.zeros([1000], device: device) }
        #expect(fake.pointee.allocations == first + 1)
        #expect(device.bytesInUse == 0)
        #expect(device.peakBytes == 4004)
        device.releaseCache()
        #expect(fake.pointee.memory_used == 0)
    }

    @Test func outOfMemoryEmptiesTheCacheFirst() throws {
        let device = try makeFakeDevice(memory: 10 << 20)
        _ = try NDArray(empty: [6 << 20], dtype: .u8, device: device)
        let large = try NDArray(empty: [9 << 20], dtype: .u8, device: device)
        #expect(fake.pointee.frees == 1)
        let text = message { _ = try NDArray(empty: [2 << 20], dtype: .u8, device: device) }
        #expect(
            text
                == "out of memory: 2097152 bytes wanted in addition to 9437184 in use. cuda:0 (Fake GPU) has 1 of "
                + "10 MiB free. Use a smaller batch or sequence, a smaller model, or end other processes on "
                + "the GPU (nvidia-smi lists them)")
        #expect(device.bytesInUse == large.byteCount)
    }

    @Test func leavesAnotherLibrarysContextCurrent() throws {
        let device = try makeFakeDevice()
        fake_cuda_enter_foreign_context()
        defer { fake_cuda_leave_foreign_context() }
        let array = try NDArray([1, 2], device: device)
        #expect(array.floats == [1, 2])
        #expect(fake_cuda_is_in_foreign_context() == 1)
    }

    @Test func copiesAreRefusedWhileCapturing() throws {
        let device = try makeFakeDevice()
        let array = try NDArray([1, 2], device: device)
        fake.pointee.capturing = 1
        #expect(message { _ = try array.hostValues() }.contains("while a graph is captured"))
        let text = message { try [UInt8](repeating: 0, count: 8).withUnsafeBytes { try array.write($0) } }
        #expect(text.contains("while a graph is captured"))
    }

    @Test func failedWorkIsThrownByTheNextCall() throws {
        let device = try makeFakeDevice()
        let array = try NDArray([1, 2], device: device)
        fake.pointee.stream_result = 700
        #expect(array.doubles.filter(\.isNaN).count == 2)
        #expect(array.integers == [0, 0])
        fake.pointee.stream_result = 0
        let text = message { _ = try NDArray.zeros([2000], device: device) }
        #expect(text.hasPrefix("waiting for the GPU's work on cuda:0 failed: CUDA_ERROR_OTHER"))
        #expect(text.contains("LIGER_STRICT=1"))
        #expect(array.floats == [1, 2])
    }
}
