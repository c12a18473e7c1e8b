import FakeCUDA
import FakeHIP
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite(.onFakeGPU) struct HIPDriverTests {
    @Test func readsTheDevice() throws {
        let device = try makeFakeAMD()
        let gpu = try device.hip("the test").gpu
        #expect(device.name == "hip:0" && device.model == "Fake AMD GPU")
        #expect(gpu.properties.architecture == "gfx942" && gpu.properties.waveThreads == 64)
        #expect(gpu.properties.multiprocessors == 304 && gpu.properties.memoryBytes == 1 << 30)
        #expect(gpu.driver.versionText == "6.4")
        #expect(device.traits.isGPU && !device.traits.multipliesInKernels && !device.traits.multipliesFloat8)
    }

    @Test func oldRuntimesSayWhatToDo() throws {
        fake_hip_reset()
        fakeHIP.pointee.runtime_version = 50_700_000
        #expect(
            message { _ = try HIPDriver(file: "old") { fake_hip_symbol($0) } }
                == "the HIP runtime old is version 5.7; 6.0 is needed. Update ROCm to 6.0 or newer")
        let text = message {
            _ = try HIPDriver(file: "older") {
                $0 == "hipGetDevicePropertiesR0600" ? nil : fake_hip_symbol($0)
            }
        }
        #expect(text.contains("older has no function hipGetDevicePropertiesR0600"))
    }

    @Test func aMachineWithoutGPUsHasNone() throws {
        fake_hip_reset()
        fakeHIP.pointee.devices = 0
        let driver = try HIPDriver(file: "fake") { fake_hip_symbol($0) }
        #expect(driver.deviceCount == 0)
        let text = message { _ = try HIPDevice(driver: driver, ordinal: 0) }
        #expect(text.contains("finding the device hip:0 failed") && text.contains("liger doctor"))
    }

    /// What kernels are not written for is refused by name, as are waves that they do not expect.
    @Test func refusesOtherArchitectures() throws {
        let other = try makeFakeAMD(architecture: "gfx1030", waveThreads: 32)
        let text = message { _ = try SmallLaunch.run(on: other) }
        #expect(text.contains("is gfx1030, for which no kernels are written") && text.contains("gfx1201"))
        let narrow = try makeFakeAMD(architecture: "gfx942", waveThreads: 32)
        #expect(message { _ = try SmallLaunch.run(on: narrow) }.contains("waves of 32"))
        #expect(fake.pointee.launches == 0)
    }

    /// Every call makes the device current and puts back what was.
    @Test func leavesTheCurrentDeviceAsItWas() throws {
        let device = try makeFakeAMD()
        let before = fakeHIP.pointee.devices_set
        _ = try NDArray([1, 2, 3], device: device).floats
        #expect(fakeHIP.pointee.device == -1 && fakeHIP.pointee.devices_set > before)
    }

    @Test func errorsSayWhatToDo() throws {
        let device = try makeFakeAMD(memory: 1 << 20)
        let text = message { _ = try Buffer(byteCount: 2 << 20, device: device) }
        #expect(text.hasPrefix("out of memory") && text.contains("hip:0 (Fake AMD GPU) has 1 of 1 MiB free"))
        #expect(text.contains("rocm-smi"))
        fake.pointee.stream_result = 719
        let failed = message { try device.synchronize() }
        #expect(failed.contains("on hip:0 failed: hipErrorOther") && failed.contains("LIGER_STRICT=1"))
    }

    @Test func namesAreKnownEverywhere() {
        #expect(message { _ = try Device.named("hip") }.contains("HIP runtime") || Device.available.count > 1)
        #expect(message { _ = try Device.named("hip:x") }.contains("there is no device named 'hip:x'"))
    }
}

/// One launch of a small kernel.
enum SmallLaunch {
    static func run(on device: Device) throws -> [Float] {
        let x = try NDArray([1, 2, 3, 4, 5, 6, 7, 8], [2, 4], device: device)
        let y = try NDArray(empty: [2, 4], device: device)
        try Doubled(columns: 4).launch(programs: 2, ["x": x, "y": y])
        return y.floats
    }

    struct Doubled: TileKernel {
        let columns: Int

        func body(_ p: Program) {
            let x = p.input("x", .f32, rank: 2), y = p.output("y", .f32, rank: 2), c = p.range(columns)
            y[p.index, c] = x[p.index, c] + x[p.index, c]
        }
    }
}
