import LigerNN
import LigerRuntime
import TestSupport
import Testing
import Tile

/// y = x + 1.
private struct AddOne: TileKernel {
    func body(_ p: Program) {
        let x = p.input("x", .f32, rank: 1), y = p.output("y", .f32, rank: 1)
        y[p.index] = x[p.index] + 1
    }
}

/// What the runtime offers, done to arrays of a recording device. Each is recorded, and the call then does the same
/// work on real memory, or throws a sentence; none of them touches memory that is not there.
@Suite struct RecordedOperationTests {
    private static let words = "while an operation is prepared"

    /// Made of `x`, [2, 3, 4] in f32, and `w`, [2, 4, 5].
    struct Case: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let work: @Sendable (_ x: NDArray, _ w: NDArray) throws -> NDArray

        init(_ name: String, _ work: @escaping @Sendable (_ x: NDArray, _ w: NDArray) throws -> NDArray) {
            testDescription = name
            self.work = work
        }
    }

    static let recorded = [
        Case("zeros") { x, _ in try NDArray.zeros([3], device: x.device) },
        Case("clear") { x, _ in
            let y = try NDArray(empty: [3], device: x.device)
            try y.clear()
            return y
        },
        Case("copyBytes") { x, _ in
            let y = try NDArray(empty: x.shape, device: x.device)
            try x.copyBytes(to: y)
            return y
        },
        Case("copyBytes of a part") { x, _ in
            let y = try NDArray(empty: [1, 3, 4], device: x.device)
            try x.sliced(0, 1..<2).copyBytes(to: y)
            return y
        },
        Case("launch") { x, _ in
            let y = try NDArray(empty: [x.count], device: x.device)
            try AddOne().launch(programs: x.count, ["x": x.flattened, "y": y])
            return y
        },
        Case("launch on views") { x, _ in
            let y = try NDArray.zeros([4, 3], device: x.device)
            let column = y.transposed(0, 1).sliced(0, 1..<2).transposed(0, 1)
            let flat = NDArray(
                buffer: column.buffer, offset: column.offset, shape: [4], strides: [3], dtype: .f32)
            try AddOne().launch(programs: 4, ["x": x.rows.sliced(0, 5..<6).flattened, "y": flat])
            return y
        },
        Case("product") { x, w in try MatMul.apply(x, w.matrix(1)) },
        Case("product of transposed views") { x, _ in try MatMul.apply(x.rows.transposed(0, 1), x.rows) },
        Case("product with a sum") { x, w in
            let c = try NDArray.zeros([6, 5], device: x.device)
            for i in 0..<2 {
                _ = try MatMul.apply(x.rows, w.matrix(i), into: c, alpha: 0.5, accumulate: true)
            }
            return c
        },
        Case("product without terms") { x, w in
            try MatMul.apply(x.rows.sliced(1, 0..<0), w.matrix(0).sliced(0, 0..<0))
        },
        Case("batch of products") { x, w in
            let c = try NDArray(empty: [2, 3, 5], device: x.device)
            try MatMul.applyBatched(x, w, into: c, alpha: -2)
            return c
        },
        Case("batch of products with sums") { x, w in
            let c = try NDArray.zeros([2, 3, 5], device: x.device)
            for _ in 0..<2 { try MatMul.applyBatched(x, w, into: c, accumulate: true) }
            return c
        },
        // More products than threads, one factor shared.
        Case("batch of many products") { x, w in
            let rows = NDArray(
                buffer: x.buffer, offset: 0, shape: [24, 1, 1], strides: [1, 1, 1], dtype: .f32)
            let shared = NDArray(
                buffer: w.buffer, offset: w.offset, shape: [24, 1, 5], strides: [0, 5, 1], dtype: .f32)
            let c = try NDArray(empty: [24, 1, 5], device: x.device)
            try MatMul.applyBatched(rows, shared, into: c)
            return c
        },
        Case("batch transposed") { x, w in
            let c = try NDArray(empty: [2, 5, 3], device: x.device)
            try MatMul.applyBatched(w, x, transposeA: true, transposeB: true, into: c)
            return c
        },
        Case("sizes of sums over rows") { x, _ in
            try NDArray.zeros([x.device.partialSums(rowLength: 4)], device: x.device)
        },
    ]

    @Test(arguments: recorded) func isRecorded(_ operation: Case) throws {
        try Self.check(operation, on: .cpu)
    }

    /// That the call does what the operation does when it is done at once, on whichever memory.
    static func check(_ operation: Case, on device: Device) throws {
        let x = try NDArray((0..<24).map { Float($0 % 7) - 3 }, [2, 3, 4], device: device)
        let w = try NDArray((0..<40).map { Float($0 % 5) - 1 }, [2, 4, 5], device: device)
        let recorder = CallRecorder(for: device)
        let (a, b) = (
            recorder.argument(shape: x.shape, dtype: .f32), recorder.argument(shape: w.shape, dtype: .f32)
        )
        let call = try recorder.finish(outputs: [try operation.work(a, b)])
        let expected = try operation.work(x, w)
        #expect(call.outputs.map(\.shape) == [expected.shape])
        let y = try NDArray(empty: expected.shape, device: device)
        let scratch = try NDArray(empty: [max(call.workspaceBytes, 1)], dtype: .u8, device: device)
        var places = [x, w, y].map { UInt(bitPattern: $0.address) }
        if call.workspaceBytes > 0 { places.append(UInt(bitPattern: scratch.address)) }
        for _ in 0..<2 {
            try NDArray([Float](repeating: .nan, count: y.count), y.shape, device: device).copyBytes(to: y)
            try call.run(places, stream: 0x2000)
            #expect(try y.hostValues() == expected.hostValues())
        }
    }

    /// That measuring memory says what products take, the panels into which 16-bit factors are widened included.
    /// Products of a batch are done at the same time or not, so those may take less.
    @Test(arguments: recorded.filter { $0.testDescription.contains("product") }, [DType.f32, .bf16])
    func takesTheMemoryThatIsMeasured(_ operation: Case, dtype: DType) throws {
        let real = Device(name: "cpu"), standIn = real.recordingMemory()
        func run(on device: Device) throws -> NDArray {
            try operation.work(
                NDArray(empty: [2, 3, 4], dtype: dtype, device: device),
                NDArray(empty: [2, 4, 5], dtype: dtype, device: device))
        }
        _ = try run(on: standIn)
        let measured = try #require(standIn.recordedBytes.max()) + standIn.recordedProductBytes
        _ = try run(on: real)
        if operation.testDescription.hasPrefix("batch") && dtype == .bf16 {
            #expect(measured >= real.peakBytes)
        } else {
            #expect(measured == real.peakBytes)
        }
    }

    /// A batch of many products is spread over the threads, each of which widens factors of its own.
    @Test func eachThreadOfABatchIsCounted() throws {
        func bytes(of count: Int) throws -> Int {
            let device = Device.cpu.recordingMemory()
            func array(_ shape: [Int]) throws -> NDArray {
                try NDArray(empty: shape, dtype: .bf16, device: device)
            }
            try MatMul.applyBatched(array([count, 3, 4]), array([count, 4, 5]), into: array([count, 3, 5]))
            return device.recordedProductBytes
        }
        let threads = ThreadPool.shared.threadCount
        let one = try bytes(of: 1)
        #expect(one > 0)
        #expect(try bytes(of: 4 * threads) == threads * one)
    }

    /// What needs values, or the device itself.
    static let refused = [
        Case("values") { x, _ in try NDArray([1, 2], device: x.device) },
        Case("integers") { x, _ in try NDArray(integers: [1, 2], device: x.device) },
        Case("hostValues") { x, _ in
            _ = try x.hostValues()
            return x
        },
        Case("write") { x, _ in
            try [Float](repeating: 0, count: 24).withUnsafeBytes { try x.write($0) }
            return x
        },
        Case("read") { x, _ in
            var values = [Float](repeating: 0, count: 24)
            try values.withUnsafeMutableBytes { try x.read(into: $0) }
            return x
        },
        Case("copyBytes from the processor") { x, _ in
            try NDArray.zeros(x.shape).copyBytes(to: x)
            return x
        },
        Case("copyBytes to the processor") { x, _ in
            try x.copyBytes(to: NDArray.zeros(x.shape))
            return x
        },
        Case("copyBytes from another recording") { x, _ in
            try CallRecorder(for: .cpu).argument(shape: x.shape, dtype: .f32).copyBytes(to: x)
            return x
        },
        Case("moved to the processor") { x, _ in try x.moved(to: .cpu) },
        Case("synchronize") { x, _ in
            try x.device.synchronize()
            return x
        },
        Case("synchronize a stream") { x, _ in
            try x.device.synchronize(stream: 0)
            return x
        },
        Case("capture") { x, _ in
            _ = try x.device.capture { _ = try NDArray.zeros([1], device: x.device) }
            return x
        },
        Case("timing") { x, _ in
            _ = try RunTimer(x.device).seconds {}
            return x
        },
        // These cannot throw: what they met is thrown at the end.
        Case("doubles") { x, _ in
            _ = x.doubles
            return try NDArray.zeros([1], device: x.device)
        },
        Case("floats") { x, _ in
            _ = x.floats
            return try NDArray.zeros([1], device: x.device)
        },
        Case("integers of an array") { x, _ in
            _ = x.integers
            return try NDArray.zeros([1], device: x.device)
        },
    ]

    @Test(arguments: refused) func isRefused(_ operation: Case) throws {
        try Self.checkRefusal(operation, on: .cpu)
    }

    static func checkRefusal(_ operation: Case, on device: Device) throws {
        let recorder = CallRecorder(for: device)
        let (x, w) = (
            recorder.argument(shape: [2, 3, 4], dtype: .f32),
            recorder.argument(shape: [2, 4, 5], dtype: .f32)
        )
        let text = message { _ = try recorder.finish(outputs: [try operation.work(x, w)]) }
        #expect(text.contains(words), "\(text)")
    }

    /// The host's own loops find no memory there. They are for the processor.
    @Test func hostsLoopsAreRefused() throws {
        let recorder = CallRecorder(for: .cpu)
        let x = recorder.argument(shape: [1, 4, 2, 8], dtype: .f32)
        #expect(message { _ = try x.hostAddress() }.contains("cannot reach the memory"))
        let text = message { _ = try CausalAttention.forward(q: x, k: x, v: x) }
        #expect(text.contains("cannot reach the memory"), "\(text)")
    }

    /// Arrays of two devices, one of them recorded.
    @Test func mixedArraysAreRefused() throws {
        let recorder = CallRecorder(for: .cpu)
        let x = recorder.argument(shape: [2, 2], dtype: .f32)
        let real = try NDArray.zeros([2, 2]),
            batch = NDArray(
                buffer: real.buffer, offset: 0, shape: [1, 2, 2], strides: [4, 2, 1], dtype: .f32)
        let mine = NDArray(buffer: x.buffer, offset: 0, shape: [1, 2, 2], strides: [4, 2, 1], dtype: .f32)
        for mixed in [
            { try AddOne().launch(programs: 4, ["x": x.flattened, "y": real.flattened]) },
            { _ = try MatMul.apply(real, x) }, { _ = try MatMul.apply(x, x, into: real) },
            { try MatMul.applyBatched(batch, batch, into: mine) },
        ] {
            let text = message { try mixed() }
            #expect(text.contains("Copy them to one device"), "\(text)")
        }
    }

    /// Outputs whose memory the caller of a call could not provide.
    @Test func wrongOutputsAreNamed() throws {
        for (fault, remedy, output) in [
            ("one of its arguments", "copyBytes", { x in x }),
            (
                "a part of an array, of shape [2]", "NDArray(empty:)",
                { x in
                    try NDArray.zeros([4], device: x.device).sliced(0, 0..<2)
                }
            ),
            (
                "a part of an array, of shape [2, 3]", "NDArray(empty:)",
                { x in
                    try NDArray.zeros([3, 2], device: x.device).transposed(0, 1)
                }
            ),
            (
                "does not belong to the call", "on the device of the arguments",
                { _ in try NDArray.zeros([2]) }
            ),
        ] as [(String, String, (NDArray) throws -> NDArray)] {
            let recorder = CallRecorder(for: .cpu)
            let x = recorder.argument(shape: [2], dtype: .f32)
            let good = try NDArray.zeros([2], device: x.device)
            let text = message {
                _ = try recorder.finish(outputs: [good, try output(x)], of: "scale", names: ["y", "sum"])
            }
            #expect(text.contains("scale returned as output 'sum'"), "\(text)")
            #expect(text.contains(fault) && text.contains(remedy), "\(text)")
        }
        let recorder = CallRecorder(for: .cpu)
        let y = try NDArray.zeros([2], device: recorder.argument(shape: [1], dtype: .f32).device)
        let twice = message { _ = try recorder.finish(outputs: [y, y]) }
        #expect(twice.contains("the operation returned as output 1 an array that is another output too"))
    }
}

@Suite(.onFakeGPU) struct RecordedOnGPUTests {
    /// Launches are left out: the fake driver knows other kernels.
    static let recorded = RecordedOperationTests.recorded.filter {
        !$0.testDescription.hasPrefix("launch")
    }

    @Test(arguments: recorded) func isRecorded(_ operation: RecordedOperationTests.Case) throws {
        try RecordedOperationTests.check(operation, on: makeFakeDevice())
    }

    @Test(arguments: RecordedOperationTests.refused)
    func isRefused(_ operation: RecordedOperationTests.Case) throws {
        try RecordedOperationTests.checkRefusal(operation, on: makeFakeDevice())
    }
}
