package import LigerArrays
import Synchronization

extension Device {
    /// A GPU. Those of this machine are in `cudaDevices()`.
    ///
    /// - Parameters:
    ///   - library: does the matrix products; nil for the one this machine has, loaded when needed.
    ///   - cudnn: runs graphs.
    package convenience init(cuda: CUDADevice, library: CUBLASLt? = nil, cudnn: CUDNN.Source = .machine) {
        self.init(CUDABackend(cuda, library: library, cudnn: cudnn))
    }

    private static let gpus = Result<[Device], any Error> {
        let driver = try CUDADriver.load()
        let devices = try (0..<driver.deviceCount).map {
            Device(cuda: try CUDADevice(driver: driver, ordinal: $0))
        }
        listed.withLock { $0 = devices }
        return devices
    }
    private static let listed = Mutex<[Device]>([])

    /// Those that `cudaDevices()` has listed so far: none before it was called.
    package static var listedCUDADevices: [Device] { listed.withLock { $0 } }

    /// The NVIDIA GPUs of this machine.
    ///
    /// - Throws: an error that says why there is none.
    package static func cudaDevices() throws -> [Device] { try gpus.get() }

    /// The GPU as the driver lists it, for what is NVIDIA's alone.
    ///
    /// - Parameter purpose: what it is wanted for.
    /// - Throws: `RuntimeError` if the device is no NVIDIA GPU, or one whose work is being recorded.
    package func cuda(_ purpose: @autoclosure () -> String) throws -> CUDADevice {
        try cudaBackend(purpose()).gpu
    }

    func cudaBackend(_ purpose: @autoclosure () -> String) throws -> CUDABackend {
        if let backend = backend as? CUDABackend { return backend }
        throw RuntimeError(
            "\(purpose()) takes an NVIDIA GPU that is not being recorded; found \(self). Use one, such as cuda:0"
        )
    }
}
