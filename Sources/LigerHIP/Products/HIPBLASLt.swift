import CHIP
package import LigerArrays
import LigerGPU
import Platform

/// The functions of hipBLASLt that matrix products need.
///
/// Owner: the process, which loads the library once, on first use, and never unloads it. Any thread may call
/// them; a handle belongs to the device that was current when it was made.
package struct HIPBLASLt: Sendable {
    /// The file in use.
    package let path: String

    let version: HIPBLASLtGetVersion
    let create: HIPBLASLtCreate
    let createDescriptor: HIPBLASLtDescriptorCreate
    let setDescriptor: HIPBLASLtDescriptorSet
    let destroyDescriptor: HIPBLASLtDescriptorDestroy
    let createLayout: HIPBLASLtLayoutCreate
    let setLayout: HIPBLASLtLayoutSet
    let destroyLayout: HIPBLASLtLayoutDestroy
    let createPreference: HIPBLASLtPreferenceCreate
    let setPreference: HIPBLASLtPreferenceSet
    let destroyPreference: HIPBLASLtPreferenceDestroy
    let heuristic: HIPBLASLtGetHeuristic
    let multiply: HIPBLASLtMultiply

    /// - Throws: `RuntimeError` that says where it was looked for and what to install.
    package static func load() throws -> HIPBLASLt { try loaded.get() }

    private static let loaded = Result<HIPBLASLt, any Error> {
        try LibrarySearch.hipblasLt(ProcessInfo.processInfo.environment).load(
            HIPBLASLt.init, missing: missing)
    }

    /// - Parameter refusals: why each file was refused.
    package static func missing(_ refusals: [String]) -> RuntimeError {
        RuntimeError(
            "matrix products on an AMD GPU need hipBLASLt, which was not found; tried:\n  "
                + refusals.joined(separator: "\n  ")
                + "\nInstall it with ROCm (package hipblaslt), or set LIGER_HIPBLASLT to the file or its folder",
            kind: .library)
    }

    /// - Throws: `RuntimeError` if a function is missing.
    package init(path: String, resolve: @escaping (String) -> UnsafeMutableRawPointer?) throws {
        self.path = path
        let symbols = SymbolTable(resolve: resolve)
        do {
            version = try symbols.find("hipblasLtGetVersion")
            create = try symbols.find("hipblasLtCreate")
            createDescriptor = try symbols.find("hipblasLtMatmulDescCreate")
            setDescriptor = try symbols.find("hipblasLtMatmulDescSetAttribute")
            destroyDescriptor = try symbols.find("hipblasLtMatmulDescDestroy")
            createLayout = try symbols.find("hipblasLtMatrixLayoutCreate")
            setLayout = try symbols.find("hipblasLtMatrixLayoutSetAttribute")
            destroyLayout = try symbols.find("hipblasLtMatrixLayoutDestroy")
            createPreference = try symbols.find("hipblasLtMatmulPreferenceCreate")
            setPreference = try symbols.find("hipblasLtMatmulPreferenceSetAttribute")
            destroyPreference = try symbols.find("hipblasLtMatmulPreferenceDestroy")
            heuristic = try symbols.find("hipblasLtMatmulAlgoGetHeuristic")
            multiply = try symbols.find("hipblasLtMatmul")
        } catch let error {
            throw RuntimeError(
                "\(path) is no hipBLASLt of ROCm 6 or 7: it has no function \(error.name). "
                    + "Set LIGER_HIPBLASLT to one that is", kind: .library)
        }
    }

    /// - Throws: `RuntimeError` unless the status says success.
    func check(_ status: hipblasStatus_t, _ operation: @autoclosure () -> String) throws {
        if status == HIPBLAS_STATUS_SUCCESS { return }
        let advice =
            switch status {
            case HIPBLAS_STATUS_NOT_INITIALIZED:
                "The library found no usable runtime or GPU memory: `liger doctor` shows both"
            case HIPBLAS_STATUS_ALLOC_FAILED: "Memory ran out: use a smaller batch or sequence"
            case HIPBLAS_STATUS_ARCH_MISMATCH: "The library does not know this GPU: install a newer one"
            case HIPBLAS_STATUS_EXECUTION_FAILED:
                "An earlier kernel may be at fault: run again with LIGER_STRICT=1"
            case HIPBLAS_STATUS_NOT_SUPPORTED: "The library does not take these types and strides"
            default: "Please report it"
            }
        throw RuntimeError(
            "\(operation()) failed: hipBLASLt status \(status). \(advice)", kind: .device)
    }
}
