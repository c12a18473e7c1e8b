import CVector
import Platform
import Synchronization

/// A library of matrix products, loaded at run time and kept for the life of the process.
package struct BLASLibrary: Sendable {
    package typealias MatrixMultiply =
        @convention(c) (
            _ order: Int32, _ transposeA: Int32, _ transposeB: Int32, _ m: Int32, _ n: Int32, _ k: Int32,
            _ alpha: Float, _ a: UnsafePointer<Float>, _ lda: Int32, _ b: UnsafePointer<Float>,
            _ ldb: Int32, _ beta: Float, _ c: UnsafeMutablePointer<Float>, _ ldc: Int32
        ) -> Void

    let path: String
    let multiply: MatrixMultiply
    /// What OpenBLAS says of its build and of the kernels it chose; nil for other libraries.
    let configuration: String?
    let coreName: String?

    private static let preferred = Mutex<String?>(nil)

    /// Has `load()` look at a path first, where `LIGER_BLAS` names none.
    package static func prefer(_ path: String) { preferred.withLock { $0 = path } }

    /// The library that `LIGER_BLAS` names (a file, or a folder that holds one), and no other; without that
    /// variable OpenBLAS as the system finds it (Accelerate on a Mac).
    ///
    /// Throws ``BLASError`` when there is none, or when what was found has no `cblas_sgemm`.
    package static func load(
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws(BLASError) -> BLASLibrary {
        prepareEnvironment()
        let requested = environment["LIGER_BLAS"].flatMap { $0.isEmpty ? nil : $0 }
        var attempts: [BLASError.Attempt] = []
        let first = preferred.withLock { $0 }.map(files(at:)) ?? []
        for path in requested.map(files(at:)) ?? first + systemNames {
            if let handle = dlopen(path, RTLD_NOW | RTLD_LOCAL) {
                return try BLASLibrary(handle: handle, path: path)
            }
            let reason = dlerror().map { String(cString: $0) } ?? "no reason given"
            attempts.append(BLASError.Attempt(path: path, reason: reason))
        }
        throw .notFound(attempts, requested: requested)
    }

    static let systemNames =
        System.isMac
        ? ["/System/Library/Frameworks/Accelerate.framework/Accelerate"]
        : ["libopenblas.so.0", "libopenblas.so"]
    package static let fileNames =
        System.isMac
        ? ["libscipy_openblas.dylib", "libopenblas.dylib", "libopenblas.0.dylib"]
        : ["libscipy_openblas.so", "libopenblas.so.0", "libopenblas.so"]

    private static func files(at path: String) -> [String] {
        var isFolder = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder else {
            return [path]
        }
        return fileNames.map { path + "/" + $0 }
    }

    /// What the libraries read as they are loaded, where the user has not set it: one thread, as products
    /// are split over threads here; and the kernels for this processor, as OpenBLAS before 0.3.22 takes
    /// processors newer than itself for old ones, at a quarter of the speed.
    private static func prepareEnvironment() {
        setenv("OPENBLAS_NUM_THREADS", "1", 0)
        setenv("VECLIB_MAXIMUM_THREADS", "1", 0)
        switch cv_machine_level() {
        case 2: setenv("OPENBLAS_CORETYPE", "SkylakeX", 0)
        case 1: setenv("OPENBLAS_CORETYPE", "Haswell", 0)
        default: break
        }
    }

    /// One that is not loaded.
    package init(named name: String, multiply: MatrixMultiply) {
        (path, self.multiply) = (name, multiply)
        (configuration, coreName) = (nil, nil)
    }

    private init(handle: UnsafeMutableRawPointer, path: String) throws(BLASError) {
        // Wheels prefix their symbols, so that two libraries can live in one process.
        for prefix in ["", "scipy_"] {
            guard let symbol = dlsym(handle, prefix + "cblas_sgemm") else { continue }
            self.path = Self.file(of: symbol, handle) ?? path
            multiply = unsafeBitCast(symbol, to: MatrixMultiply.self)
            configuration = Self.text(handle, prefix + "openblas_get_config")
            coreName = Self.text(handle, prefix + "openblas_get_corename")
            return
        }
        dlclose(handle)
        throw .missingSymbol(path)
    }

    /// The file that `symbol` was loaded from. glibc's header hides `dladdr`, so it is looked up by name; it
    /// fills in the file's name, its base, the symbol's name and its address.
    private static func file(of symbol: UnsafeMutableRawPointer, _ handle: UnsafeMutableRawPointer) -> String?
    {
        typealias Information = (
            UnsafePointer<CChar>?, UnsafeRawPointer?, UnsafePointer<CChar>?, UnsafeRawPointer?
        )
        typealias Locate = @convention(c) (UnsafeRawPointer, UnsafeMutableRawPointer) -> Int32
        guard let locate = dlsym(handle, "dladdr") ?? dlsym(nil, "dladdr") else { return nil }
        var information: Information = (nil, nil, nil, nil)
        guard unsafeBitCast(locate, to: Locate.self)(symbol, &information) != 0 else { return nil }
        return information.0.map { String(cString: $0) }
    }

    private static func text(_ handle: UnsafeMutableRawPointer, _ name: String) -> String? {
        typealias GetText = @convention(c) () -> UnsafePointer<CChar>?
        guard let symbol = dlsym(handle, name) else { return nil }
        return unsafeBitCast(symbol, to: GetText.self)().map { String(cString: $0) }
    }
}
