/// No library for matrix products could be used.
package enum BLASError: Error, Equatable, CustomStringConvertible {
    /// A file that was tried, and why the system's loader refused it.
    package struct Attempt: Equatable, Sendable {
        package let path: String
        package let reason: String
    }

    /// Nothing could be loaded; `requested` is the value of `LIGER_BLAS`, if it is set.
    case notFound([Attempt], requested: String?)
    /// The library at this path has no `cblas_sgemm`.
    case missingSymbol(String)

    package var description: String {
        switch self {
        case .notFound(let attempts, let requested):
            let source = requested.map { "LIGER_BLAS=\($0)" } ?? "the system's library path"
            let tried = attempts.map { "\n  \($0.path): \($0.reason)" }.joined()
            return "no library for matrix products in \(source); tried:\(tried)\n" + Self.advice
        case .missingSymbol(let path):
            return "\(path) is no library for matrix products: it has no function cblas_sgemm. " + Self.advice
        }
    }

    private static let advice =
        "Install OpenBLAS: `apt-get install libopenblas0-pthread`, or `pip install scipy-openblas32` and set "
        + "LIGER_BLAS to the folder that `python3 -c \"import scipy_openblas32 as s; print(s.get_lib_dir())\"` "
        + "prints."
}
