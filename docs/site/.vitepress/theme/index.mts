// VitePress's own theme, and how tables are laid out in it.
import DefaultTheme from "vitepress/theme";
import "./style.css";

export default DefaultTheme;
