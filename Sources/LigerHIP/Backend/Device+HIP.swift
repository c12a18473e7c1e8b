package import LigerArrays
import Synchronization

extension Device {
    private static let gpus = Result<[Device], any Error> {
        let driver = try HIPDriver.load()
        let devices = try (0..<driver.deviceCount).map {
            Device(HIPBackend(try HIPDevice(driver: driver, ordinal: $0)))
        }
        listed.withLock { $0 = devices }
        return devices
    }
    private static let listed = Mutex<[Device]>([])

    /// Those that `hipDevices()` has listed so far: none before it was called.
    package static var listedHIPDevices: [Device] { listed.withLock { $0 } }

    /// The AMD GPUs of this machine.
    ///
    /// - Throws: an error that says why there is none.
    package static func hipDevices() throws -> [Device] { try gpus.get() }

    /// The AMD GPU's back end, for what is AMD's alone.
    ///
    /// - Parameter purpose: what it is wanted for.
    /// - Throws: `RuntimeError` if the device is no AMD GPU, or one whose work is being recorded.
    package func hip(_ purpose: @autoclosure () -> String) throws -> HIPBackend {
        if let backend = backend as? HIPBackend { return backend }
        throw RuntimeError(
            "\(purpose()) takes an AMD GPU that is not being recorded; found \(self). Use one, such as hip:0")
    }
}
