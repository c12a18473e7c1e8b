/// A launch that a kernel's program refused or that would have left its arrays.
package struct LaunchError: Error, CustomStringConvertible {
    package let description: String

    package init(description: String) { self.description = description }
}
