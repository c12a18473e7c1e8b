import FakeCUDA
import Foundation
import LigerModels
import LigerRuntime
import TestSupport
import Testing
import Tile

/// Tensors on their way between files and a GPU's memory.
@Suite(.onFakeGPU) struct CUDACheckpointTests {
    /// None, one, and around the pieces of 16 MiB.
    @Test(arguments: [0, 1, (4 << 20) - 1, 4 << 20, (4 << 20) + 1, (8 << 20) + 3])
    func tensorsGoOutAndIn(count: Int) throws {
        let device = try makeFakeDevice()
        let values = (0..<count).map { Float($0 % 8191) - 4000 }
        let array = try NDArray(values, device: device)
        let folder = try TemporaryFolder()
        let url = folder.file("a.safetensors")
        try SafetensorsWriter.write([TensorContent("a", array, in: url)], to: url)
        let file = try SafetensorsFile(url: url)
        let back = try file.array("a", device: device)
        #expect(back.device === device)
        let isSame = try back.hostValues() == values.map(Double.init)
        #expect(isSame)
        // In place, too, and rounded on the way.
        let narrow = try NDArray.zeros([count], dtype: .bf16, device: device)
        try file.read("a", into: narrow)
        let expected = try NDArray(values, dtype: .bf16).hostValues()
        let isRounded = try narrow.hostValues() == expected
        #expect(isRounded)
        try SafetensorsWriter.write(
            [TensorContent("a", array, storedAs: .bf16, in: url)], to: url)
        let stored = try SafetensorsFile(url: url).array("a")
        let isStored = try stored.dtype == .bf16 && stored.hostValues() == expected
        #expect(isStored)
    }

    /// More small uploads than there are pieces for them, none waited for by the caller.
    @Test func smallUploadsKeepTheirValues() throws {
        let device = try makeFakeDevice()
        let arrays = try (0..<40).map {
            try NDArray(copying: [Int32($0), -Int32($0)], [2], dtype: .i32, device: device)
        }
        #expect(arrays.map(\.integers) == (0..<40).map { [$0, -$0] })
    }

    @Test func theDriverSaysWhatIsFree() throws {
        let device = try makeFakeDevice(memory: 10 << 20)
        let array = try NDArray(empty: [1 << 20], dtype: .u8, device: device)
        let memory = try #require(try device.driverMemory())
        #expect(memory.total == 10 << 20 && memory.free == 9 << 20)
        #expect(try Device.cpu.driverMemory() == nil)
        #expect(array.count == 1 << 20)
    }
}
