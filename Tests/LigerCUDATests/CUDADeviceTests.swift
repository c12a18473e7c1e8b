import LigerRuntime
import TestSupport
import Testing
import Tile

private let gpu = try? Device.named("cuda")

/// What only a GPU can show: that the driver and cuBLASLt mean what the fakes of the other suites mean.
@Suite(.serialized, .enabled(if: gpu != nil, "not checked: no device")) struct CUDADeviceTests {
    /// y = -x, one program a thread; a value above 1000 fails check 1 with 42. The parameters lie as
    /// `GPUKernel` says: x, its size and stride; y likewise; programs; the error record.
    private static let negate = """
        .version 6.3
        .target sm_75
        .address_size 64
        .visible .entry negate(.param .align 8 .b8 arguments[64])
        {
            .reg .b64 %d<12>;
            .reg .b32 %r<4>;
            .reg .f32 %f<2>;
            .reg .pred %p<2>;
            ld.param.u64 %d0, [arguments];
            ld.param.s64 %d1, [arguments+16];
            ld.param.u64 %d2, [arguments+24];
            ld.param.s64 %d3, [arguments+40];
            ld.param.s64 %d4, [arguments+48];
            ld.param.u64 %d5, [arguments+56];
            mov.u32 %r0, %ctaid.x;
            mov.u32 %r1, %ntid.x;
            mov.u32 %r2, %tid.x;
            mad.lo.u32 %r3, %r0, %r1, %r2;
            cvt.u64.u32 %d6, %r3;
            setp.ge.s64 %p0, %d6, %d4;
            @%p0 ret;
            mul.lo.s64 %d7, %d6, %d1;
            shl.b64 %d7, %d7, 2;
            add.s64 %d7, %d0, %d7;
            ld.global.f32 %f0, [%d7];
            setp.gt.f32 %p1, %f0, 0f447A0000;
            neg.f32 %f1, %f0;
            mul.lo.s64 %d8, %d6, %d3;
            shl.b64 %d8, %d8, 2;
            add.s64 %d8, %d2, %d8;
            st.global.f32 [%d8], %f1;
            @!%p1 ret;
            mov.u64 %d9, 2;
            mov.u64 %d10, 42;
            st.global.u64 [%d5], %d9;
            st.global.u64 [%d5+8], %d6;
            st.global.u64 [%d5+16], %d10;
            ret;
        }
        """

    private func makeNegate(cluster: Int = 1) throws -> (device: Device, kernel: CUDAKernel) {
        let device = try #require(gpu)
        var negate = try kernel("negate", programsPerBlock: 128, cluster: cluster)
        negate.text = Self.negate
        return (device, try CUDAKernel(negate, context: try device.context()))
    }

    /// Around a block of threads and a staging piece.
    @Test(arguments: [1, 127, 128, 129, (1 << 20) + 1]) func launches(count: Int) throws {
        let (device, negate) = try makeNegate()
        let values = (0..<count).map { Float($0 % 999) }
        let x = try NDArray(values.flatMap { [$0, -7] }, [count, 2], device: device)
        let strided = NDArray(buffer: x.buffer, offset: 0, shape: [count], strides: [2], dtype: .f32)
        let y = try NDArray.zeros([count], device: device)
        try negate.launch(programs: count, [strided.view, y.view], [])
        // Compared outside of the expectation, which would list a million differences.
        let isNegated = try y.hostValues() == values.map { -Double($0) }
        #expect(isNegated)
        #expect(negate.resources.localBytesPerThread == 0)
        #expect(negate.resources.registersPerThread > 0)
    }

    @Test func failedChecksAreThrownAtTheNextCopy() throws {
        let (device, negate) = try makeNegate()
        let x = try NDArray([1, 2, 2000, 3], device: device)
        let y = try NDArray.zeros([4], device: device)
        try negate.launch(programs: 4, [x.view, y.view], [])
        #expect(message { _ = try y.hostValues() } == "kernel negate, program 2: label 42 is out of range")
        #expect(try y.hostValues() == [-1, -2, -2000, -3])
    }

    @Test func launchesInClusters() throws {
        let device = try #require(gpu)
        guard try device.cuda("the test").properties.runsClusters else { return }
        let (_, negate) = try makeNegate(cluster: 4)
        let x = try NDArray([1, 2, 3], device: device)
        let y = try NDArray.zeros([3], device: device)
        try negate.launch(programs: 3, [x.view, y.view], [])
        #expect(try y.hostValues() == [-1, -2, -3])
    }

    @Test func wrongPTXShowsTheCompilersLog() throws {
        let device = try #require(gpu)
        var wrong = try kernel("negate")
        wrong.text = Self.negate.replacing("neg.f32", with: "negg.f32")
        let text = message { _ = try CUDAKernel(wrong, context: try device.context()) }
        #expect(text.contains("CUDA_ERROR_INVALID_PTX"))
        #expect(text.contains("negg"))
    }

    /// 256 TiB: more than any GPU has.
    @Test func memoryRunsOutWithAnError() throws {
        let device = try #require(gpu)
        let text = message { _ = try Buffer(byteCount: 1 << 48, device: device) }
        #expect(text.hasPrefix("out of memory"))
        #expect(text.contains("MiB free"))
    }

    @Test func eventsTimeWork() throws {
        let device = try #require(gpu)
        let context = try device.context()
        let stream = try context.stream()
        let (start, end) = (try GPUEvent(on: context.gpu), try GPUEvent(on: context.gpu))
        try start.record(in: stream)
        let zeros = try NDArray.zeros([1 << 24], device: device)
        try end.record(in: stream)
        try end.synchronize()
        #expect(try end.milliseconds(since: start) > 0)
        #expect(try zeros.sliced(0, 0..<3).hostValues() == [0, 0, 0])
    }

    /// Small whole numbers, so that every sum is exact; sizes that are no multiple of anything.
    @Test(arguments: [DType.f32, .bf16, .f16], [false, true])
    func productsMatchTheProcessor(dtype: DType, transposed: Bool) throws {
        let device = try #require(gpu)
        var random = SeededGenerator(seed: 77)
        let (rows, columns, inner) = (37, 131, 65)
        func values(_ count: Int) -> [Float] {
            (0..<count).map { _ in Float(Int.random(in: -2...2, using: &random)) }
        }
        let a = try NDArray(values(rows * inner), transposed ? [inner, rows] : [rows, inner], dtype: dtype)
        let b = try NDArray(
            values(columns * inner), transposed ? [columns, inner] : [inner, columns], dtype: dtype)
        for result in Set([dtype, .f32]) {
            let c = try NDArray(values(rows * columns), [rows, columns], dtype: result)
            let onGPU = try c.moved(to: device)
            for (a, b, c) in [(a, b, c), (try a.moved(to: device), try b.moved(to: device), onGPU)] {
                _ = try MatMul.apply(
                    a, b, transposeA: transposed, transposeB: transposed, into: c, accumulate: true)
            }
            let isSame = try onGPU.hostValues() == c.hostValues()
            #expect(isSame, "\(result)")
        }
    }
}
