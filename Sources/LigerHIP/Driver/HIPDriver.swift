import CHIP
import LigerArrays
import LigerGPU
import Platform

/// AMD's HIP runtime of this machine.
///
/// Owner: the process, which loads it once, on first use, and never unloads it. Any thread may use it.
package final class HIPDriver: Sendable {
    let functions: HIPFunctions
    /// 10,000,000 major + 100,000 minor + patch.
    package let version: Int
    package let deviceCount: Int

    /// Properties of devices have the layout that is read here since HIP 6.
    static let oldestVersion = 60_000_000

    /// - Throws: `RuntimeError` or ``GPUError`` that says why this machine has no usable runtime.
    package static func load() throws -> HIPDriver { try loaded.get() }

    private static let loaded = Result<HIPDriver, any Error> {
        let search = LibrarySearch.hip(ProcessInfo.processInfo.environment)
        return try search.load(HIPDriver.init) { RuntimeError(absence($0, search.candidates)) }
    }

    /// A file that is not there needs no reason of the loader's; one that does not load does.
    static func absence(_ refusals: [String], _ files: [String]) -> String {
        let reasons = refusals.filter { !$0.contains("No such file") }
        let found =
            reasons.isEmpty ? "no HIP runtime was found" : "the HIP runtime does not load (\(reasons[0]))"
        return
            "\(found); tried \(files.joined(separator: ", ")). Install AMD's ROCm 6 or newer, or set "
            + "LIGER_HIP to libamdhip64 or its folder; in a container pass on /dev/kfd and /dev/dri"
    }

    /// - Parameters:
    ///   - file: what messages call the library.
    ///   - resolve: the address of an exported symbol.
    /// - Throws: `RuntimeError` if a symbol is missing or the runtime is too old; ``GPUError`` if it refuses to
    ///   start.
    package init(file: String, resolve: @escaping (String) -> UnsafeMutableRawPointer?) throws {
        let advice = "Update ROCm to 6.0 or newer"
        do {
            functions = try HIPFunctions(resolve)
        } catch {
            throw RuntimeError(
                "the HIP runtime \(file) has no function \(error.name): it is too old. \(advice)")
        }
        let gpu = functions.gpu
        var number: Int32 = 0
        try gpu.check(functions.runtimeVersion(&number), "asking for the runtime's version")
        version = Int(number)
        guard version >= Self.oldestVersion else {
            throw RuntimeError(
                "the HIP runtime \(file) is version \(Self.text(version)); \(Self.text(Self.oldestVersion)) is "
                    + "needed. \(advice)")
        }
        try gpu.check(functions.initialise(0), "starting the HIP runtime")
        let code = functions.deviceCount(&number)
        if code != hipErrorNoDevice { try gpu.check(code, "counting the HIP devices") }
        deviceCount = code == hipErrorNoDevice ? 0 : Int(number)
    }

    /// `6.4`.
    package var versionText: String { Self.text(version) }

    private static func text(_ version: Int) -> String {
        "\(version / 10_000_000).\(version / 100_000 % 100)"
    }
}
