import FakeCUDA
import FakeHIP
import LigerCatalogue
import LigerCollectives
import LigerKernels
import LigerLosses
import LigerRuntime
import TestSupport
import Testing
import Tile
import TileLLVM

/// What an AMD GPU's back end does, on a runtime in host memory: its launches are done from their packed parameters.
@Suite(.onFakeGPU) struct HIPDeviceTests {
    /// Operations against Double as `liger verify --device hip` checks them. Threads are planned for waves of 64 and 32 and
    /// run by the emulator; rows of part of a wave, and of several.
    @Test(
        arguments: [
            "RMSNorm", "LayerNorm", "SwiGLU", "GeGLU", "RoPE", "Softmax", "CrossEntropy", "AdamW",
        ], [DType.f32, .bf16])
    func verifies(operation: String, dtype: DType) throws {
        let entry = try #require(Catalogue.entry(operation))
        for (name, waves) in [("gfx942", 64), ("gfx1100", 32)] as [(StaticString, Int32)] {
            let device = try makeFakeAMD(architecture: name, waveThreads: waves)
            for columns in [33, 520] {
                let point = CheckCase(rows: 3, columns: columns, dtype: dtype, seed: 7, device: device)
                let results = try PerformedLaunches.with(.emulator(name)) { try entry.check(point) }
                #expect(!results.isEmpty)
                for result in results {
                    #expect(
                        result.passes,
                        "\(result.quantity), \(columns) columns on \(name): \(result.error), bound \(result.bound)"
                    )
                }
            }
            #expect(fake.pointee.launches > 0 && fake.pointee.shared_bytes == 0)
            #expect(device.launches.values.reduce(0, +) == Int(fake.pointee.launches))
        }
    }

    /// A check that a program fails reaches the host with the kernel's message.
    /// What an index names that is far outside is never read: a GPU would end its context, and say nothing of the index.
    @Test(arguments: wildIndices.indices) func failedChecksAreThrown(index: Int) throws {
        let device = try makeFakeAMD()
        let text = message {
            try PerformedLaunches.with(.emulator("gfx942")) {
                let result = try Self.wildIndices[index](device)
                _ = try result.hostValues()
            }
        }
        #expect(text.contains("kernel ") && text.contains("1000000007"), "\(text)")
    }

    private static func indices(_ dtype: DType, on device: Device) throws -> NDArray {
        try NDArray(integers: [3, 1_000_000_007], dtype: dtype, device: device)
    }

    private static let wildIndices: [@Sendable (Device) throws -> NDArray] = [
        { device in
            let logits = try NDArray.zeros([2, 8], device: device)
            return try CrossEntropy.forward(logits: logits, labels: indices(.i64, on: device)).loss
        },
        { device in
            let logits = try NDArray.zeros([2, 8], device: device)
            return try CrossEntropyTVD.forward(
                student: logits, teacher: logits, labels: indices(.i64, on: device)
            ).crossEntropy
        },
        { device in
            let table = try NDArray.zeros([8, 16], device: device)
            return try Embedding.forward(ids: indices(.i32, on: device), table: table)
        },
        { device in
            let x = try NDArray.zeros([1, 2, 1, 8], device: device),
                tables = try NDArray.zeros([4, 4], device: device)
            return try RoPE.apply(x, cos: tables, sin: tables, positions: indices(.i64, on: device))
        },
    ]

    @Test func copiesAndClears() throws {
        let device = try makeFakeAMD()
        let values = (0..<(3 << 20)).map { Float($0 % 1000) }
        let x = try NDArray(values, [values.count], device: device),
            y = try NDArray.zeros([5], device: device)
        #expect(x.floats == values && y.floats == [0, 0, 0, 0, 0])
        try x.sliced(0, 7..<12).copyBytes(to: y)
        #expect(y.floats == [7, 8, 9, 10, 11])
        let copy = try y.moved(to: try makeAnother())
        #expect(copy.floats == [7, 8, 9, 10, 11])
        #expect(try y.moved(to: .cpu).floats == [7, 8, 9, 10, 11])
    }

    private func makeAnother() throws -> Device {
        let driver = try HIPDriver(file: "fake") { fake_hip_symbol($0) }
        fakeHIP.pointee.devices = 2
        return Device(HIPBackend(try HIPDevice(driver: driver, ordinal: 1)))
    }

    @Test func memoryIsTakenAgain() throws {
        let device = try makeFakeAMD()
        _ = try NDArray.zeros([1000], device: device)
        let taken = fake.pointee.allocations
        for _ in 0..<5 { _ = try NDArray.zeros([1000], device: device) }
        #expect(fake.pointee.allocations == taken)
        device.releaseCache()
        #expect(fake.pointee.memory_used == 0)
    }

    @Test(arguments: [DType.f32, .bf16], [false, true])
    func productsMatchTheProcessor(dtype: DType, transposed: Bool) throws {
        let device = try makeFakeAMD()
        var random = SeededGenerator(seed: 77)
        func values(_ count: Int) -> [Float] {
            (0..<count).map { _ in Float(Int.random(in: -2...2, using: &random)) }
        }
        let a = try NDArray(values(15), transposed ? [3, 5] : [5, 3], dtype: dtype)
        let b = try NDArray(values(21), transposed ? [7, 3] : [3, 7], dtype: dtype)
        for (result, accumulate) in [(dtype, false), (.f32, true)] {
            let c = try NDArray(values(35), [5, 7], dtype: result), d = try c.moved(to: device)
            for (a, b, c) in [(a, b, c), (try a.moved(to: device), try b.moved(to: device), d)] {
                _ = try MatMul.apply(
                    a, b, transposeA: transposed, transposeB: transposed, into: c, accumulate: accumulate)
            }
            #expect(d.doubles == c.doubles)
        }
        #expect(fake.pointee.products == 2 && fake.pointee.workspace_bytes == 32 << 20)
        // Without terms nothing is asked of the library.
        let empty = try MatMul.apply(
            .zeros([2, 0], device: device), .zeros([0, 3], device: device))
        #expect(empty.floats == [0, 0, 0, 0, 0, 0] && fake.pointee.products == 2)
    }

    @Test func refusesWhatIsNotWritten() throws {
        let device = try makeFakeAMD()
        let values = try NDArray.zeros([16, 16], dtype: .e4m3, device: device)
        let factor = Float8Factor(values: values, scale: try .zeros([1], device: device))
        #expect(throws: RuntimeError.self) { _ = try MatMul.apply(factor, factor) }
        #expect(message { _ = try device.cuda("timing kernels") }.contains("takes an NVIDIA GPU"))
        #expect(message { _ = try Device.cpu.hip("diagnosis") }.contains("takes an AMD GPU"))
    }

    /// Work of another library's stream, and of a second one of ours.
    @Test func worksInStreams() throws {
        let device = try makeFakeAMD()
        try device.backend.withStream(0x1000) { _ = try SmallLaunch.performed(on: device) }
        #expect(fake.pointee.stream == OpaquePointer(bitPattern: 0x1000))
        let side = try #require(try SideStream(on: device))
        let x = try NDArray.zeros([3], device: device), y = try NDArray.zeros([3], device: device)
        try side.run { try x.copyBytes(to: y) }.join()
        #expect(fake.pointee.waits == 2)
    }

    /// RCCL's functions are NCCL's, and it is looked for by its own name.
    @Test func exchangesThroughRCCL() throws {
        let device = try makeFakeAMD()
        let wanted = try #require(device.exchangeLibrary)
        #expect(wanted.name == "RCCL" && wanted.search.candidates.contains("librccl.so.1"))
        let text = message { _ = try NCCL.open(["/nowhere/librccl.so.1"], as: wanted) }
        #expect(text.contains("needs RCCL") && text.contains("LIGER_RCCL"))
        let library = try NCCL(path: "fake", as: wanted) { fake_hip_symbol($0) }
        let identifier = try Communicator.makeIdentifier(for: .cpu)
        let alone = try Communicator(
            rank: 0, of: 1, identifier: identifier, device: device, library: library)
        #expect(alone.description.hasPrefix("RCCL "))
    }
}
