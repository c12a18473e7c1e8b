import FakeCUDA
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite(.onFakeGPU) struct CUDADriverTests {
    @Test func readsTheDevice() throws {
        let device = try makeFakeDevice()
        let properties = try device.cuda("the test").properties
        #expect(device.name == "cuda:0")
        #expect(properties.name == "Fake GPU")
        #expect(properties.target == 90)
        #expect(properties.multiprocessors == 132)
        #expect(properties.largestSharedBytesPerBlock == 232_448)
        #expect(properties.memoryBytes == 1 << 30)
        #expect(properties.runsClusters)
        #expect(try device.cuda("the test").driver.versionText == "13.0")
    }

    @Test func oldDriversSayWhatToDo() throws {
        fake_cuda_reset()
        fake.pointee.driver_version = 11_040
        #expect(
            message { _ = try CUDADriver(file: "old") { fake_cuda_symbol($0) } }
                == "the CUDA driver old speaks CUDA 11.4; 12.0 is needed. Update NVIDIA's driver to 525 or newer"
        )
        let text = message {
            _ = try CUDADriver(file: "older") { $0 == "cuLaunchKernelEx" ? nil : fake_cuda_symbol($0) }
        }
        #expect(text.contains("older has no function cuLaunchKernelEx"))
    }

    @Test func unknownOrdinalsAreRefused() throws {
        _ = try makeFakeDevice()
        let driver = try CUDADriver(file: "fake") { fake_cuda_symbol($0) }
        let text = message { _ = try CUDADevice(driver: driver, ordinal: 3) }
        #expect(text.contains("finding the device cuda:3 failed"))
        #expect(text.contains("liger doctor"))
    }
}

@Suite struct DeviceNameTests {
    @Test(arguments: ["gpu", "cuda:", "cuda:x", "CPU", "cuda:99"]) func unknownNamesAreRefused(name: String) {
        let text = message { _ = try Device.named(name) }
        #expect(text.contains("'\(name)'"))
        #expect(text.contains("--device"))
    }

    @Test func theProcessorIsFirst() throws {
        #expect(try Device.named("cpu") === Device.cpu)
        #expect(Device.available.first === Device.cpu)
    }
}
