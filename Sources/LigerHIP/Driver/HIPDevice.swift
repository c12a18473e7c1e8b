import CHIP
import LigerArrays
package import LigerGPU
import Platform
import TileGPU
package import TileLLVM

/// One GPU as HIP lists it.
///
/// Owner: its ``HIPBackend``. Any thread may use it.
package final class HIPDevice: Sendable {
    package let driver: HIPDriver
    package let properties: Properties
    let opened: LazyContext

    package struct Properties: Sendable, Hashable {
        /// HIP's number of it, 0 for `hip:0`.
        package let ordinal: Int
        /// Such as `AMD Instinct MI300X`.
        package let name: String
        /// Such as `gfx942`, without the settings that follow it.
        package let architecture: String
        package let multiprocessors: Int
        package let maximumThreadsPerBlock: Int
        package let sharedBytesPerBlock: Int
        package let waveThreads: Int
        package let memoryBytes: Int
    }

    /// - Parameter isStrict: whether every launch is followed by a wait for its outcome; nil for what LIGER_STRICT
    ///   says.
    /// - Throws: ``GPUError`` if HIP has no device of that number.
    package init(driver: HIPDriver, ordinal: Int, isStrict: Bool? = nil) throws {
        self.driver = driver
        let functions = driver.functions
        let isStrict = isStrict ?? (ProcessInfo.processInfo.environment["LIGER_STRICT"] == "1")
        var found = HIPDeviceProperties()
        try functions.gpu.check(
            functions.properties(&found, Int32(ordinal)), "finding the device hip:\(ordinal)")
        properties = Properties(found, ordinal)
        let name = "hip:\(ordinal)"
        opened = LazyContext {
            GPUContext(
                functions.gpu, name: name, binding: HIPBinding(functions, ordinal: Int32(ordinal)),
                isStrict: isStrict)
        }
    }

    /// The architecture to print for.
    ///
    /// - Throws: `RuntimeError` if kernels are not written for it, or if the runtime says of it what they do not rely on.
    package func target() throws -> AMDTarget {
        guard let target = AMDTarget(properties.architecture) else {
            let known = AMDTarget.all.map(\.name).joined(separator: ", ")
            throw RuntimeError(
                "hip:\(properties.ordinal) (\(properties.name)) is \(properties.architecture), for which no kernels "
                    + "are written. They are for \(known). Choose another device", kind: .device)
        }
        guard target.limits.warpThreads == properties.waveThreads else {
            throw RuntimeError(
                "hip:\(properties.ordinal) (\(properties.name)) has waves of \(properties.waveThreads) threads; "
                    + "kernels for \(target) are for waves of \(target.limits.warpThreads)", kind: .device)
        }
        return target
    }

    /// The context in which all work of this device happens.
    package func context() throws -> GPUContext { try opened.context() }
}

extension HIPDevice.Properties {
    fileprivate init(_ found: HIPDeviceProperties, _ ordinal: Int) {
        func text(_ bytes: UnsafeRawBufferPointer) -> String {
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        self.ordinal = ordinal
        name = withUnsafeBytes(of: found.name, text)
        architecture = withUnsafeBytes(of: found.gcnArchName) {
            String(text($0).prefix { $0 != ":" })
        }
        multiprocessors = max(1, Int(found.multiProcessorCount))
        maximumThreadsPerBlock = Int(found.maxThreadsPerBlock)
        sharedBytesPerBlock = found.sharedMemPerBlock
        waveThreads = Int(found.warpSize)
        memoryBytes = found.totalGlobalMem
    }
}

/// Makes a device HIP's current one.
struct HIPBinding: GPUBinding {
    private let functions: HIPFunctions
    private let ordinal: Int32

    init(_ functions: HIPFunctions, ordinal: Int32) { (self.functions, self.ordinal) = (functions, ordinal) }

    func use<Result>(_ body: () throws -> Result) throws -> Result {
        var current: Int32 = 0
        try check(functions.currentDevice(&current), "asking for the current device")
        if current == ordinal { return try body() }
        try check(functions.setDevice(ordinal), "choosing the device")
        defer {
            // It was current a moment ago: that fails only if the runtime has shut down, with nothing left to do.
            _ = functions.setDevice(current)
        }
        return try body()
    }

    func copy(
        _ source: UInt64, of other: any GPUBinding, to target: UInt64, bytes: Int, stream: OpaquePointer?
    ) -> Int32 {
        guard let other = other as? HIPBinding else { return hipErrorInvalidValue }
        return functions.copyToPeer(target, ordinal, source, other.ordinal, bytes, stream)
    }

    private func check(_ code: hipError_t, _ operation: String) throws(GPUError) {
        try functions.gpu.check(code, "\(operation) on hip:\(ordinal)")
    }
}
