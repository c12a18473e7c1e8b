import CCUDA
import Platform
import Synchronization

/// One GPU as the driver lists it.
///
/// Owner: its ``CUDABackend``. Any thread may use it. The context is made on first use, as that takes
/// some tenths of a second and memory on the GPU.
package final class CUDADevice: Sendable {
    package let driver: CUDADriver
    package let properties: CUDADeviceProperties
    private let number: CUdevice
    private let isStrict: Bool
    private let opened = Mutex<CUDAContext?>(nil)

    /// - Parameter isStrict: whether every launch is followed by a wait for its outcome; nil for what LIGER_STRICT
    ///   says.
    /// - Throws: ``CUDAError`` if the driver has no device of that number.
    package init(driver: CUDADriver, ordinal: Int, isStrict: Bool? = nil) throws {
        self.driver = driver
        self.isStrict = isStrict ?? (ProcessInfo.processInfo.environment["LIGER_STRICT"] == "1")
        var device: CUdevice = 0
        try driver.functions.check(
            driver.functions.device(&device, Int32(ordinal)), "finding the device cuda:\(ordinal)")
        number = device
        properties = try CUDADeviceProperties(driver, device: device, ordinal: ordinal)
    }

    /// The context in which all work of this device happens.
    ///
    /// - Throws: ``CUDAError`` if it cannot be made.
    package func context() throws -> CUDAContext {
        try opened.withLock { opened in
            if let opened { return opened }
            let context = try CUDAContext(
                driver: driver, properties: properties, device: number, isStrict: isStrict)
            opened = context
            return context
        }
    }

    /// The context if something has used the device already.
    var openedContext: CUDAContext? { opened.withLock { $0 } }
}
