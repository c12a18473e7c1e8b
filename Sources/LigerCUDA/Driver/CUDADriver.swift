import CCUDA
import LigerArrays
import LigerGPU
import Platform

/// The CUDA driver of this machine.
///
/// Owner: the process, which loads it once, on first use, and never unloads it. Any thread may use it.
package final class CUDADriver: Sendable {
    let functions: CUDAFunctions
    /// 1000 major + 10 minor of the newest CUDA version the driver speaks: 13000 for 13.0.
    package let version: Int
    package let deviceCount: Int

    /// Launches with attributes came with CUDA 11.8; PTX of the newer GPUs needs 12.
    static let oldestVersion = 12_000

    private static let names = [
        "libcuda.so.1", "libcuda.so", "/usr/lib/wsl/lib/libcuda.so.1", "/usr/local/nvidia/lib64/libcuda.so.1",
    ]

    /// - Throws: `RuntimeError` or ``GPUError`` that says why this machine has no usable driver.
    package static func load() throws -> CUDADriver { try loaded.get() }

    private static let loaded = Result<CUDADriver, any Error> {
        var refusals: [String] = []
        for name in names {
            if let handle = dlopen(name, RTLD_NOW | RTLD_LOCAL) {
                // dlsym only reads the handle.
                nonisolated(unsafe) let library = handle
                return try CUDADriver(file: name) { dlsym(library, $0) }
            }
            refusals.append(dlerror().map { String(cString: $0) } ?? "\(name): no reason given")
        }
        throw RuntimeError(absence(refusals))
    }

    /// A file that is not there needs no reason of the loader's; one that does not load does.
    static func absence(_ refusals: [String]) -> String {
        let reasons = refusals.filter { !$0.contains("No such file") }
        let found =
            reasons.isEmpty ? "no CUDA driver was found" : "the CUDA driver does not load (\(reasons[0]))"
        return
            "\(found); tried \(names.joined(separator: ", ")). Install NVIDIA's driver, 525 or newer; in a "
            + "container pass the GPUs on"
    }

    /// - Parameters:
    ///   - file: what messages call the library.
    ///   - resolve: the address of an exported symbol.
    /// - Throws: `RuntimeError` if a symbol is missing or the driver is too old; ``GPUError`` if it refuses to
    ///   start.
    package init(file: String, resolve: @escaping (String) -> UnsafeMutableRawPointer?) throws {
        let advice = "Update NVIDIA's driver to 525 or newer"
        do {
            functions = try CUDAFunctions(resolve)
        } catch {
            throw RuntimeError(
                "the CUDA driver \(file) has no function \(error.name): it is too old. \(advice)")
        }
        var number: Int32 = 0
        try functions.gpu.check(functions.driverVersion(&number), "asking for the driver's version")
        version = Int(number)
        guard version >= Self.oldestVersion else {
            throw RuntimeError(
                "the CUDA driver \(file) speaks CUDA \(Self.text(version)); "
                    + "\(Self.text(Self.oldestVersion)) is needed. \(advice)")
        }
        try functions.gpu.check(functions.initialise(0), "starting the CUDA driver")
        try functions.gpu.check(functions.deviceCount(&number), "counting the CUDA devices")
        deviceCount = Int(number)
    }

    /// Whether kernels may be launched while the one before them runs, in captured graphs too.
    var allowsEarlyLaunch: Bool { version >= 12_030 }

    /// `13.0`.
    package var versionText: String { Self.text(version) }

    private static func text(_ version: Int) -> String { "\(version / 1000).\(version % 1000 / 10)" }
}
