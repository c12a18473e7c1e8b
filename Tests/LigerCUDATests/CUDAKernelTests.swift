import FakeCUDA
import LigerRuntime
import TestSupport
import Testing
import Tile

// Never freed: the fake driver keeps the pointer.
private nonisolated(unsafe) let compilerLog = StaticString("line 3: unknown instruction").utf8Start

private struct Doubled: TileKernel {
    let lanes: Int

    func body(_ p: Program) {
        let x = p.update("x", .f32, rank: 1), c = p.range(lanes)
        x[c] = x[c] + x[c]
    }
}

private struct SumOfRows: TileKernel {
    let columns: Int

    func body(_ p: Program) {
        let x = p.input("x", .f32, rank: 2), y = p.output("y", .f32, rank: 1), c = p.range(columns)
        y[c] = p.loop(from: p.index, to: x.size(0), carrying: p.full(c, 0)) { row, sum in sum + x[row, c] }
    }
}

private struct SpillingKernel: TileKernel {
    let lanes: Int

    func body(_ p: Program) {
        let x = p.update("x", .f32, rank: 1), c = p.range(lanes)
        x[c] = x[c] + 1
    }
}

@Suite(.onFakeGPU) struct CUDAKernelTests {
    /// A compiler that spills is told that one block is enough; one that spills all the same is reported.
    @Test(arguments: [false, true]) func spillsAreAvoidedOrReported(always: Bool) throws {
        let device = try makeFakeDevice()
        fake.pointee.local_bytes = 24
        if !always {
            fake.pointee.sees_module = { text in
                let isTold = text.map { String(cString: $0).contains(".minnctapersm 1\n") } ?? false
                fake_cuda_state().pointee.local_bytes = isTold ? 0 : 24
            }
        }
        let x = try NDArray.zeros([always ? 4 : 8], device: device)
        try SpillingKernel(lanes: x.count).launch(programs: 1, ["x": x])
        #expect(fake.pointee.modules_loaded == 2)
        let spilling = device.compilations.filter { $0.spilledBytes > 0 }
        #expect(spilling.map(\.spilledBytes) == (always ? [24] : []))
        #expect(
            spilling.allSatisfy { $0.kernel.contains("SpillingKernel (f32; \(x.count) lanes by 4") })
    }

    @Test func launchesOnStridedViews() throws {
        let device = try makeFakeDevice()
        let x = try NDArray([1, 9, 2, 9, 3, 9], [3, 2], device: device)
        let y = try NDArray.zeros([3], device: device)
        let column = x.sliced(1, 0..<1).transposed(0, 1).sliced(0, 0..<1)
        #expect(column.shape == [1, 3])
        let negate = try CUDAKernel(
            try kernel("negate"), context: try device.context())
        let flat = NDArray(
            buffer: x.buffer, offset: x.offset, shape: [3], strides: [2], dtype: .f32)
        try negate.launch(programs: 3, [flat.view, y.view], [])
        #expect(y.floats == [-1, -2, -3])
        #expect(fake.pointee.grid == 1)
        #expect(fake.pointee.block == 128)
        #expect(fake.pointee.synchronizations == 1)
    }

    /// Every parameter at a multiple of its size, in the order that `GPUKernel` states.
    @Test func packsParameters() throws {
        let device = try makeFakeDevice()
        let x = try NDArray.zeros([2, 3], dtype: .bf16, device: device)
        let y = try NDArray.zeros([5], device: device)
        let packed = try CUDAKernel(
            try kernel(
                "packed", takesAll: true),
            context: try device.context())
        try packed.launch(
            programs: 9, [x.view, y.sliced(0, 1..<4).view],
            [.float(1.5), .index(-2), .int32(-3), .uint32(7)])
        let words = words(count: 14)
        #expect(words[0] == UInt64(UInt(bitPattern: x.address)))
        #expect(Array(words[1..<5]) == [2, 3, 3, 1])
        #expect(words[5] == UInt64(UInt(bitPattern: y.address)) + 4)
        #expect(Array(words[6..<8]) == [3, 1])
        #expect(words[8] & 0xFFFF_FFFF == UInt64(Float(1.5).bitPattern))
        #expect(words[9] == UInt64(bitPattern: -2))
        #expect(words[10] == UInt64(UInt32(bitPattern: -3)) | 7 << 32)
        #expect(words[11] == 9)
        #expect(words[12] != 0 && words[12] % 32 == 0)
        #expect(fake.pointee.parameter_bytes == 13 * 8)
        #expect(fake.pointee.grid == 3)
    }

    private func words(count: Int) -> [UInt64] {
        withUnsafeBytes(of: &fake.pointee.parameters) { bytes in
            (0..<count).map { bytes.load(fromByteOffset: 8 * $0, as: UInt64.self) }
        }
    }

    /// A kernel that waits for the one before it is launched early, by drivers that know that in graphs too.
    @Test(arguments: [(13_000, true), (12_030, true), (12_020, false)])
    func kernelsAreLaunchedEarly(version: Int, knows: Bool) throws {
        let device = try makeFakeDevice(driverVersion: Int32(version))
        let x = try NDArray.zeros([7], device: device)
        var early = try kernel("negate", programsPerBlock: 1)
        try CUDAKernel(early, context: try device.context()).launch(programs: 7, [x.view, x.view], [])
        #expect(fake.pointee.launched_early == 0)
        early.mayLaunchEarly = true
        try CUDAKernel(early, context: try device.context()).launch(programs: 7, [x.view, x.view], [])
        #expect(fake.pointee.launched_early == (knows ? 1 : 0))
        #expect(fake.pointee.grid == 7 && fake.pointee.cluster == 1)
    }

    /// Loops that have rows on their way occupy the GPU on their own; other kernels begin early.
    @Test func kernelsThatCopyAheadAreLaunchedLate() throws {
        let device = try makeFakeDevice()
        let x = try NDArray.zeros([4, 4096], device: device)
        let y = try NDArray.zeros([4096], device: device)
        try Doubled(lanes: 4096).launch(programs: 1, ["x": y])
        #expect(fake.pointee.launched_early == 1)
        try SumOfRows(columns: 4096).launch(programs: 1, ["x": x, "y": y])
        #expect(fake.pointee.launched_early == 0)
    }

    @Test func clustersAndSharedMemory() throws {
        let device = try makeFakeDevice()
        let context = try device.context()
        let x = try NDArray.zeros([7], device: device)
        let wide = try CUDAKernel(
            try kernel("negate", programsPerBlock: 1, shared: 100_000, cluster: 16), context: context)
        #expect(fake.pointee.shared_bytes_allowed == 100_000)
        #expect(fake.pointee.wide_clusters_allowed == 1)
        try wide.launch(programs: 7, [x.view, x.view], [])
        #expect(fake.pointee.grid == 7 * 16)
        #expect(fake.pointee.cluster == 16 && fake.pointee.launched_early == 0)
        var early = try kernel("negate", programsPerBlock: 1, cluster: 16)
        early.mayLaunchEarly = true
        try CUDAKernel(early, context: context).launch(programs: 7, [x.view, x.view], [])
        #expect(fake.pointee.cluster == 16 && fake.pointee.launched_early == 1)
        try wide.launch(programs: 7, [x.view, x.view], [])
        #expect(fake.pointee.shared_bytes == 100_000)
        #expect(fake.pointee.parameter_bytes == 8 * 8)
        let text = message { _ = try CUDAKernel(try kernel("negate", shared: 300_000), context: context) }
        #expect(text.contains("wants 300000 bytes of shared memory a block; Fake GPU has 232448"))
        let threads = message {
            _ = try CUDAKernel(try kernel("negate", threads: 1024), context: context)
        }
        #expect(threads.contains("takes 40 registers a thread"))
    }

    @Test func streamsAreTheCallers() throws {
        let device = try makeFakeDevice()
        let context = try device.context()
        let x = try NDArray.zeros([4], device: device)
        let negate = try CUDAKernel(try kernel("negate"), context: context)
        try negate.launch(programs: 4, [x.view, x.view], [])
        let own = fake.pointee.stream
        #expect(own != nil)
        try GPUStream.$given.withValue(GPUStream(borrowing: 0x1000, on: context.gpu)) {
            try negate.launch(programs: 4, [x.view, x.view], [])
        }
        #expect(UInt(bitPattern: fake.pointee.stream) == 0x1000)
        try negate.launch(programs: 4, [x.view, x.view], [])
        #expect(fake.pointee.stream == own)
        #expect(fake.pointee.modules_loaded == 1)
    }

    @Test func failedChecksAreThrownAtTheNextCopy() throws {
        let device = try makeFakeDevice()
        let x = try NDArray.zeros([4], device: device)
        let failing = try CUDAKernel(try kernel("fail"), context: try device.context())
        try failing.launch(programs: 4, [x.view, x.view], [])
        let text = message { _ = try x.hostValues() }
        #expect(text == "kernel fail, program 7: label 42 is out of range")
        #expect(try x.hostValues() == [0, 0, 0, 0])
        try failing.launch(programs: 4, [x.view, x.view], [])
        #expect(message { try device.synchronize() } == text)
    }

    @Test func strictModeThrowsAtTheLaunch() throws {
        let device = try makeFakeDevice(strict: true)
        let x = try NDArray.zeros([4], device: device)
        let failing = try CUDAKernel(try kernel("fail"), context: try device.context())
        #expect(message { try failing.launch(programs: 4, [x.view, x.view], []) }.contains("label 42"))
        fake.pointee.capturing = 1
        try failing.launch(programs: 4, [x.view, x.view], [])
    }

    @Test func compilerErrorsShowTheLog() throws {
        let device = try makeFakeDevice()
        fake.pointee.compile_log = UnsafeRawPointer(compilerLog).assumingMemoryBound(to: CChar.self)
        defer { fake.pointee.compile_log = nil }
        let text = message {
            _ = try CUDAKernel(try kernel("negate"), context: try device.context())
        }
        #expect(text.hasPrefix("compiling the kernel negate for cuda:0 failed: CUDA_ERROR_INVALID_PTX"))
        #expect(text.hasSuffix("line 3: unknown instruction"))
    }

    @Test func mixedDevicesAreRefused() throws {
        struct Copy: TileKernel {
            func body(_ p: Program) {
                let x = p.input("x", .f32, rank: 1)
                let y = p.output("y", .f32, rank: 1)
                y[p.index] = x[p.index]
            }
        }
        let device = try makeFakeDevice()
        let (x, y) = (try NDArray.zeros([4], device: device), try NDArray.zeros([4]))
        let text = message { try Copy().launch(programs: 4, ["x": x, "y": y]) }
        #expect(text.contains("was given arrays of cuda:0 and of cpu. Copy them to one device"))
        #expect(
            message { _ = try MatMul.apply(x.reshaped([2, 2]), y.reshaped([2, 2])) }.contains(
                "one device"))
    }
}
