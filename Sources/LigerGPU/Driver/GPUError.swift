/// A call that a GPU's driver refused, or work of an earlier one that failed.
package struct GPUError: Error, CustomStringConvertible {
    /// The driver's number.
    package let code: Int32
    /// The driver's name of it, such as `CUDA_ERROR_OUT_OF_MEMORY`.
    package let name: String
    /// What was wrong, what was found, what to do.
    package let description: String

    package var isOutOfMemory: Bool { code == GPUFunctions.outOfMemory }
}

extension GPUFunctions {
    /// - Throws: ``GPUError`` unless the code says success.
    /// - Parameter operation: what was tried, as in "loading the kernel failed".
    package func check(_ code: Int32, _ operation: @autoclosure () -> String) throws(GPUError) {
        if code != Self.success { throw error(code, operation()) }
    }

    /// The one place that turns a code into an error.
    package func error(_ code: Int32, _ operation: String, details: String = "") -> GPUError {
        let explanation = explain(code)
        let name = explanation.name ?? "\(maker) error \(code)"
        let meaning = explanation.meaning ?? "no text for it"
        let advice = explanation.advice.map { ". " + $0 } ?? ""
        let details = details.isEmpty ? "" : "\n" + details
        return GPUError(
            code: code, name: name, description: "\(operation) failed: \(name), \(meaning)\(advice)\(details)"
        )
    }
}
