import FakeCUDA
import LigerRuntime
import TestSupport
import Testing
import Tile

/// y = -x, by a name that the fake driver knows.
private struct Negate: TileKernel {
    var name: String { "negate" }

    func body(_ p: Program) {
        let x = p.input("x", .f32, rank: 1), y = p.output("y", .f32, rank: 1)
        p.require(p.index < 100, "program {} is too many", p.index)
        y[p.index] = -x[p.index]
    }
}

/// Negates n times, through arrays of its own that live one after the other.
private func negate(_ x: NDArray, times: Int) throws -> NDArray {
    var x = x
    for _ in 0..<times {
        let y = try NDArray(empty: x.shape, dtype: x.dtype, device: x.device)
        try Negate().launch(programs: x.count, ["x": x, "y": y])
        x = y
    }
    return x
}

private func addresses(_ arrays: NDArray...) -> [UInt] { arrays.map { UInt(bitPattern: $0.address) } }

@Suite struct RecordedCallTests {
    private func record(count: Int, times: Int, device: Device = .cpu) throws -> RecordedCall {
        let recorder = CallRecorder(for: device)
        let x = recorder.argument(shape: [count], dtype: .f32)
        return try recorder.finish(outputs: [try negate(x, times: times)])
    }

    @Test func runsOnAnyMemory() throws {
        // Its counters are its own, whatever other tests launch meanwhile.
        let device = Device(name: "own")
        let call = try record(count: 3, times: 1, device: device)
        #expect(call.addressCount == 2 && call.workspaceBytes == 0)
        #expect(call.outputs.map(\.shape) == [[3]])
        for values in [[1, 2, 3], [4, 5, 6]] as [[Float]] {
            let (x, y) = (try NDArray(values), try NDArray.zeros([3]))
            try call.run(addresses(x, y))
            #expect(y.floats == values.map { -$0 })
        }
        #expect(device.launches == ["negate": 2])
    }

    /// Names are compared while an operation is recorded: the call that is run has none.
    @Test func refusesArraysThatChangedPlaces() throws {
        let x = CallRecorder(for: .cpu).argument(shape: [3], dtype: .f32)
        let y = try NDArray(empty: [3], device: x.device)
        let error = #expect(throws: RuntimeError.self) {
            try Negate().launch(programs: 3, ["y": y, "x": x])
        }
        #expect(error?.description.contains("expected arrays (x, y), found (y, x)") ?? false)
    }

    /// Two arrays are alive at a time, however long the chain is, and the last is the output.
    @Test func workspaceIsReused() throws {
        for (times, pieces) in [(2, 1), (3, 2), (9, 2)] {
            let call = try record(count: 40, times: times)
            #expect(call.workspaceBytes == pieces * 192)
            let (x, y) = (try NDArray.zeros([40]), try NDArray([Float](repeating: 7, count: 40)))
            let scratch = try NDArray(empty: [call.workspaceBytes], dtype: .u8)
            try call.run(addresses(x, y, scratch))
            #expect(y.floats.allSatisfy { $0 == 0 })
        }
    }

    /// The scales of 8-bit factors are read from where they are when the call is run.
    @Test func productsOfEightBitsAreRecorded() throws {
        let recorder = CallRecorder(for: .cpu)
        func factor(_ rows: Int) -> Float8Factor {
            let values = recorder.argument(shape: [rows, 16], dtype: .e4m3)
            return Float8Factor(values: values, scale: recorder.argument(shape: [1], dtype: .f32))
        }
        let call = try recorder.finish(outputs: [try MatMul.apply(factor(2), factor(16), dtype: .f32)])
        var random = SeededGenerator(seed: 4)
        let (a, b) = (try random.array([2, 16], .e4m3), try random.array([16, 16], .e4m3))
        for scale in [Float(1), 0.25] {
            let scales = (try NDArray([scale]), try NDArray([Float(3)]))
            let y = try NDArray(empty: [2, 16])
            try call.run(addresses(a, scales.0, b, scales.1, y))
            let expected = try MatMul.apply(
                Float8Factor(values: a, scale: scales.0), Float8Factor(values: b, scale: scales.1),
                dtype: .f32)
            #expect(y.floats == expected.floats)
        }
    }

    @Test func productsAndZerosAreRecorded() throws {
        let recorder = CallRecorder(for: .cpu)
        let a = recorder.argument(shape: [2, 3], dtype: .f32)
        let b = recorder.argument(shape: [3, 2], dtype: .f32)
        let sum = try NDArray.zeros([2, 2], device: a.device)
        _ = try MatMul.apply(a, b, into: sum, accumulate: true)
        let copy = try NDArray(empty: [2, 2], device: a.device)
        try sum.copyBytes(to: copy)
        let call = try recorder.finish(outputs: [copy])
        let x = try NDArray([1, 2, 3, 4, 5, 6], [2, 3]), y = try NDArray([1, 0, 0, 1, 1, 1], [3, 2])
        let result = try NDArray.zeros([2, 2])
        let scratch = try NDArray(empty: [call.workspaceBytes], dtype: .u8)
        for _ in 0..<2 {
            try call.run(addresses(x, y, result, scratch))
            #expect(result.floats == [4, 5, 10, 11])
        }
    }

    @Test func refusesMemoryThatDoesNotFit() throws {
        let call = try record(count: 3, times: 1)
        let (x, y) = (try NDArray([1, 2, 3, 4]), try NDArray.zeros([4]))
        var given = addresses(x, y)
        given[1] = given[0] + 8
        #expect(message { try call.run(given) }.contains("addresses 0 and 1 of a prepared call overlap"))
        given[1] = 0
        #expect(message { try call.run(given) }.contains("address 1 of a prepared call is null"))
        given[1] = addresses(y)[0] + 2
        #expect(throws: RecordedCall.AddressError.self) { try call.run(given) }
    }

    @Test func failedChecksAreThrown() throws {
        let call = try record(count: 101, times: 1)
        let (x, y) = (try NDArray.zeros([101]), try NDArray.zeros([101]))
        #expect(message { try call.run(addresses(x, y)) }.contains("program 100 is too many"))
    }

    @Test func valuesAreOutOfReachWhileRecording() throws {
        let recorder = CallRecorder(for: .cpu)
        let x = recorder.argument(shape: [2], dtype: .f32)
        #expect(message { _ = try x.hostValues() }.contains("has no values while an operation is prepared"))
        #expect(message { _ = try NDArray([1, 2], device: x.device) }.contains("has no values"))
        let mixed = message { try Negate().launch(programs: 2, ["x": x, "y": try NDArray.zeros([2])]) }
        #expect(mixed.contains("Copy them to one device"))
    }
}

@Suite(.onFakeGPU) struct RecordedCallOnGPUTests {
    private func record(_ device: Device, isAligned: Bool = true) throws -> RecordedCall {
        let recorder = CallRecorder(for: device)
        let x = recorder.argument(shape: [4], dtype: .f32, isAligned: isAligned)
        return try recorder.finish(outputs: [try negate(x, times: 1)])
    }

    @Test func goToTheCallersStreamWithoutWaiting() throws {
        let device = try makeFakeDevice()
        let call = try record(device)
        let (x, y) = (try NDArray([1, 2, 3, 4], device: device), try NDArray.zeros([4], device: device))
        try device.synchronize()
        let (waits, allocations) = (fake.pointee.synchronizations, fake.pointee.allocations)
        try call.run(addresses(x, y), stream: 0x2000)
        #expect(UInt(bitPattern: fake.pointee.stream) == 0x2000)
        #expect(fake.pointee.synchronizations == waits)
        #expect(fake.pointee.allocations == allocations)
        #expect(y.floats == [-1, -2, -3, -4])
    }

    @Test func leaveAnotherLibrarysContextCurrent() throws {
        let device = try makeFakeDevice()
        let call = try record(device)
        let (x, y) = (try NDArray([1, 2, 3, 4], device: device), try NDArray.zeros([4], device: device))
        fake_cuda_enter_foreign_context()
        defer { fake_cuda_leave_foreign_context() }
        try call.run(addresses(x, y), stream: 0x2000)
        #expect(fake_cuda_is_in_foreign_context() == 1)
    }

    @Test func relyOnAlignmentOnlyWhereItWasPromised() throws {
        let device = try makeFakeDevice()
        let x = try NDArray([0, 1, 2, 3, 4], device: device), y = try NDArray.zeros([4], device: device)
        let given = addresses(x.sliced(0, 1..<5), y)
        let aligned = try record(device), any = try record(device, isAligned: false)
        #expect(throws: RecordedCall.AddressError.self) { try aligned.run(given) }
        try any.run(given)
        #expect(y.floats == [-1, -2, -3, -4])
    }

    @Test func failedChecksAreThrownAtTheNextRun() throws {
        struct Fail: TileKernel {
            var name: String { "fail" }

            func body(_ p: Program) {
                let x = p.update("x", .f32, rank: 1)
                p.require(p.index >= 0, "never", p.index)
                p.require(p.index < 3, "label {} is out of range", p.index)
                x[p.index] = x[p.index]
            }
        }
        let device = try makeFakeDevice()
        let recorder = CallRecorder(for: device)
        let x = recorder.argument(shape: [4], dtype: .f32)
        try Fail().launch(programs: 4, ["x": x])
        let call = try recorder.finish(outputs: [])
        let real = try NDArray.zeros([4], device: device)
        try call.run(addresses(real))
        #expect(message { try call.run(addresses(real)) }.contains("label 42 is out of range"))
        // What the first run noted has been said; the second run did not happen.
        try call.run(addresses(real))
        #expect(message { try device.synchronize(stream: 0) }.contains("label 42"))
    }
}
