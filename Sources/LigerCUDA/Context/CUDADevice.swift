import CCUDA
import LigerGPU
import Platform

/// One GPU as the driver lists it.
///
/// Owner: its ``CUDABackend``. Any thread may use it. The context is made on first use, as that takes
/// some tenths of a second and memory on the GPU.
package final class CUDADevice: Sendable {
    package let driver: CUDADriver
    package let properties: CUDADeviceProperties
    let opened: LazyContext

    /// - Parameter isStrict: whether every launch is followed by a wait for its outcome; nil for what LIGER_STRICT
    ///   says.
    /// - Throws: ``GPUError`` if the driver has no device of that number.
    package init(driver: CUDADriver, ordinal: Int, isStrict: Bool? = nil) throws {
        self.driver = driver
        let isStrict = isStrict ?? (ProcessInfo.processInfo.environment["LIGER_STRICT"] == "1")
        let functions = driver.functions
        var device: CUdevice = 0
        try functions.gpu.check(
            functions.device(&device, Int32(ordinal)), "finding the device cuda:\(ordinal)")
        properties = try CUDADeviceProperties(driver, device: device, ordinal: ordinal)
        let (number, name) = (device, "cuda:\(ordinal)")
        opened = LazyContext {
            GPUContext(
                functions.gpu, name: name,
                binding: try CUDABinding(retaining: number, functions, name: name), isStrict: isStrict)
        }
    }

    /// The context in which all work of this device happens.
    ///
    /// - Throws: ``GPUError`` if it cannot be made.
    package func context() throws -> CUDAContext {
        CUDAContext(gpu: try opened.context(), driver: driver, properties: properties)
    }
}
